//! Will hold the wasm-bindgen bindings of the linter for browsers and editors. Nothing is exported yet.
