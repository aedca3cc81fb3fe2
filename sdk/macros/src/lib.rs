//! The two macros of the guest SDK. Authors import them from `outboard_sdk`, where they are explained.
//!
//! `#[command]` leaves its function as it is and puts a type of the same name beside it that describes it (functions and
//! types have separate names in Rust); `engine!` collects those types. Neither holds logic: what happens at run time
//! stands in `outboard_sdk`, readable.

mod command;
mod engine;

use proc_macro::TokenStream;
use quote::ToTokens;

/// Makes a function a command. See `outboard_sdk`.
#[proc_macro_attribute]
pub fn command(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function = syn::parse_macro_input!(item as syn::ItemFn);
    let made = syn::parse(attribute).and_then(|attribute| command::expand(&attribute, &function));
    // The function stays even beside an error, so that the author reads one message and not twenty.
    made.unwrap_or_else(|error| {
        let mut tokens = error.into_compile_error();
        function.to_tokens(&mut tokens);
        tokens
    })
    .into()
}

/// Makes the crate an engine. See `outboard_sdk`.
#[proc_macro]
pub fn engine(input: TokenStream) -> TokenStream {
    syn::parse(input)
        .map(|engine: engine::Engine| engine.expand())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
