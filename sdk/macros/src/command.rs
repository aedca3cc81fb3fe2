//! `#[command(write)]`, `#[command(read)]`, each with an optional `name = "…"`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, LitStr, Meta, Result, Token, Type};

/// What stands in the brackets.
pub(crate) struct Attribute {
    writes: bool,
    name: Option<LitStr>,
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> Result<Attribute> {
        let direction = "say what the command does: #[command(read)] or #[command(write)]";
        let word: Ident = input.parse().map_err(|error| Error::new(error.span(), direction))?;
        let writes = match word.to_string().as_str() {
            "write" => true,
            "read" => false,
            _ => return Err(Error::new(word.span(), direction)),
        };
        let mut name = None;
        if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let key: Ident = input.call(Ident::parse_any)?;
            if key != "name" {
                return Err(Error::new(key.span(), "only name = \"…\" can follow"));
            }
            input.parse::<Token![=]>()?;
            name = Some(input.parse()?);
        }
        Ok(Attribute { writes, name })
    }
}

/// The function, and beside it the type that `engine!` asks for its description.
pub(crate) fn expand(attribute: &Attribute, function: &ItemFn) -> Result<TokenStream> {
    refuse_what_cannot_run(function)?;
    let (ident, visibility) = (&function.sig.ident, &function.vis);
    let name = command_name(attribute, ident)?;
    let summary = summary(function)?;
    let types = argument_types(function)?;

    let places: Vec<Ident> = (0..types.len()).map(|place| format_ident!("argument_{place}")).collect();
    let parsed: Vec<TokenStream> = types.iter().map(|kind| kind.owned.to_token_stream()).collect();
    let passed =
        types.iter().zip(&places).map(|(kind, place)| if kind.borrowed { quote!(&#place) } else { quote!(#place) });
    let (variant, store) = if attribute.writes {
        (quote!(Write), quote!(&mut ::outboard_sdk::Store<'_>))
    } else {
        (quote!(Read), quote!(&::outboard_sdk::View<'_>))
    };

    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #visibility struct #ident {}

        impl ::outboard_sdk::IsCommand for #ident {
            const COMMAND: ::outboard_sdk::Command = {
                fn run(store: #store, mut args: ::outboard_sdk::Args) -> ::outboard_sdk::Result<::std::vec::Vec<u8>> {
                    #(let #places = <#parsed as ::outboard_sdk::FromArgs>::from_args(&mut args)?;)*
                    args.finish()?;
                    let reply = #ident(store, #(#passed),*)?;
                    ::core::result::Result::Ok(::outboard_sdk::reply::encode(&reply))
                }
                ::outboard_sdk::Command {
                    name: #name,
                    summary: #summary,
                    shape: ::outboard_sdk::Shape::EMPTY #(.then(<#parsed as ::outboard_sdk::FromArgs>::SHAPE))*,
                    run: ::outboard_sdk::Run::#variant(run),
                    code: ::outboard_sdk::engine::name_code(#name.as_bytes()),
                }
            };
        }
    })
}

/// A parameter's type: what is parsed, and whether the function wants it borrowed.
struct ArgumentType {
    owned: TokenStream,
    borrowed: bool,
}

/// All parameters but the first, which is the store or the view.
fn argument_types(function: &ItemFn) -> Result<Vec<ArgumentType>> {
    let mut inputs = function.sig.inputs.iter();
    if inputs.next().is_none() {
        let what = "a command's first parameter is `store: &mut Store` or `store: &View`";
        return Err(Error::new(function.sig.paren_token.span.join(), what));
    }
    inputs.map(argument_type).collect()
}

fn argument_type(input: &FnArg) -> Result<ArgumentType> {
    let FnArg::Typed(input) = input else { return Err(Error::new(input.span(), "a command has no self")) };
    let Type::Reference(reference) = &*input.ty else {
        return Ok(ArgumentType { owned: input.ty.to_token_stream(), borrowed: false });
    };
    let element = &*reference.elem;
    let owned = if let Type::Slice(slice) = element {
        let of = &slice.elem;
        quote!(::std::vec::Vec<#of>)
    } else if matches!(element, Type::Path(path) if path.path.is_ident("str")) {
        quote!(::std::string::String)
    } else {
        element.to_token_stream()
    };
    Ok(ArgumentType { owned, borrowed: true })
}

fn refuse_what_cannot_run(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(token) = signature.asyncness {
        return Err(Error::new(token.span(), "a command runs from start to end: there is nothing to wait for"));
    }
    if signature.generics.type_params().next().is_some() {
        return Err(Error::new(signature.generics.span(), "a command's types must be known"));
    }
    Ok(())
}

/// The host takes capitals, digits and a few signs.
fn command_name(attribute: &Attribute, ident: &Ident) -> Result<String> {
    let (name, span) = match &attribute.name {
        Some(name) => (name.value(), name.span()),
        None => (ident.unraw().to_string(), ident.span()),
    };
    let name = name.to_ascii_uppercase();
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(Error::new(span, "a command's name is letters, digits, '_', '-' and '.'"));
    }
    Ok(name)
}

/// The first paragraph of the doc comment, as one line.
fn summary(function: &ItemFn) -> Result<String> {
    let mut summary = String::new();
    for attribute in function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(doc) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &doc.value else { continue };
        let line = line.value();
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        summary.push_str(if summary.is_empty() { "" } else { " " });
        summary.push_str(line);
    }
    if summary.is_empty() {
        let what = "a command needs a doc comment; its first paragraph is the help that users read: /// NAME argument -- what it does";
        return Err(Error::new(Span::call_site(), what));
    }
    Ok(summary)
}
