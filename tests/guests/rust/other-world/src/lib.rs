//! A component that is no transform: it exports something else entirely.

wit_bindgen::generate!({
    world: "other",
    inline: r#"
        package relay:other;

        interface thing {
          poke: func() -> u32;
        }

        world other {
          export thing;
        }
    "#,
});

struct Component;

impl exports::relay::other::thing::Guest for Component {
    fn poke() -> u32 {
        7
    }
}

export!(Component);
