//! `engine! { name: "…", version: "…", schema: 1, commands: [a, b] }`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprArray, Ident, Path, Result, Token, bracketed};

/// What stands in the braces; fields come in any order.
#[derive(Default)]
pub(crate) struct Engine {
    name: Option<Expr>,
    version: Option<Expr>,
    schema: Option<Expr>,
    reads_schemas: Option<ExprArray>,
    caches: Option<Expr>,
    open: Option<Path>,
    migrate: Option<Path>,
    commands: Option<Vec<Path>>,
}

impl Parse for Engine {
    fn parse(input: ParseStream<'_>) -> Result<Engine> {
        let mut engine = Engine::default();
        while !input.is_empty() {
            let field: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            match field.to_string().as_str() {
                "name" => once(&field, &mut engine.name, input.parse()?)?,
                "version" => once(&field, &mut engine.version, input.parse()?)?,
                "schema" => once(&field, &mut engine.schema, input.parse()?)?,
                "reads_schemas" => once(&field, &mut engine.reads_schemas, input.parse()?)?,
                "caches" => once(&field, &mut engine.caches, input.parse()?)?,
                "open" => once(&field, &mut engine.open, input.parse()?)?,
                "migrate" => once(&field, &mut engine.migrate, input.parse()?)?,
                "commands" => once(&field, &mut engine.commands, paths(input)?)?,
                _ => {
                    let known = "unknown field; an engine has name, version, schema, commands, and optionally reads_schemas, caches, open, migrate";
                    return Err(Error::new(field.span(), known));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        engine.refuse_missing()?;
        Ok(engine)
    }
}

fn once<T>(field: &Ident, place: &mut Option<T>, value: T) -> Result<()> {
    if place.replace(value).is_some() {
        return Err(Error::new(field.span(), format!("{field} is said twice")));
    }
    Ok(())
}

fn paths(input: ParseStream<'_>) -> Result<Vec<Path>> {
    let list;
    bracketed!(list in input);
    Ok(Punctuated::<Path, Token![,]>::parse_terminated(&list)?.into_iter().collect())
}

impl Engine {
    fn refuse_missing(&self) -> Result<()> {
        let needed = [
            ("name", self.name.is_some()),
            ("version", self.version.is_some()),
            ("schema", self.schema.is_some()),
            ("commands", self.commands.is_some()),
        ];
        match needed.iter().find(|(_, present)| !present) {
            Some((field, _)) => Err(Error::new(Span::call_site(), format!("the engine's {field} is missing"))),
            None => Ok(()),
        }
    }

    /// The static that tests use, and on the Wasm target the exports.
    pub(crate) fn expand(self) -> TokenStream {
        let (name, version, schema) = (self.name, self.version, self.schema);
        let commands = self.commands.unwrap_or_default();
        let reads_schemas = self.reads_schemas.map_or_else(|| quote!([]), |schemas| quote!(#schemas));
        let caches = self.caches.map_or_else(|| quote!(false), |caches| quote!(#caches));
        let function = |path: Option<Path>| match path {
            Some(path) => quote!(::core::option::Option::Some(#path)),
            None => quote!(::core::option::Option::None),
        };
        let (open, migrate) = (function(self.open), function(self.migrate));
        quote! {
            /// This engine: what the component exports, and what tests run natively.
            pub static ENGINE: ::outboard_sdk::Engine = ::outboard_sdk::Engine {
                name: #name,
                version: #version,
                schema: #schema,
                reads_schemas: &#reads_schemas,
                caches: #caches,
                commands: &[#(<#commands as ::outboard_sdk::IsCommand>::COMMAND),*],
                open: #open,
                migrate: #migrate,
            }
            .checked();

            #[cfg(target_family = "wasm")]
            #[doc(hidden)]
            mod outboard_component {
                struct Component;
                impl ::outboard_sdk::guest::Exported for Component {
                    const ENGINE: &'static ::outboard_sdk::Engine = &super::ENGINE;
                }
                ::outboard_sdk::bindings::export_component!(Component with_types_in ::outboard_sdk::bindings);
            }
        }
    }
}
