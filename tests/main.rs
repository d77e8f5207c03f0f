//! One binary for all integration tests; one file for each property.

mod support;
