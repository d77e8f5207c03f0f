-- The application's own tables, and the outbox beside them. The outbox is what
--   relay init -c examples/customer-events/relay.toml
-- prints for a database that has no such table yet. All of it may run twice.

CREATE TABLE IF NOT EXISTS customer (
    id int PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    card text NOT NULL,
    version int NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS addresses (
    customer_id int PRIMARY KEY REFERENCES customer,
    street text NOT NULL,
    city text NOT NULL
);

CREATE TABLE IF NOT EXISTS "public"."customer_events" (
    "xid" xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- first: taken before the sequence number
    "seq" bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    "lane" smallint GENERATED ALWAYS AS ((hashtextextended(coalesce("customer_id"::text, "subject"::text), 0) & 63)::int2) STORED,
    "event_id" uuid NOT NULL DEFAULT gen_random_uuid(),
    "subject" text NOT NULL,
    "customer_id" text,
    "what" text NOT NULL,
    "body" jsonb,
    "headers" jsonb,
    "happened_at" timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000, autovacuum_vacuum_cost_delay = 0);
