//! What wit-bindgen makes of `wit/engine.wit`. Authors never see it: `guest.rs` and `log.rs` stand before it (and `chaos` climbs over).

wit_bindgen::generate!({
    path: "../wit",
    world: "engine",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "outboard_sdk::bindings",
    generate_all,
});
