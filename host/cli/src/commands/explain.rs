//! `explain`: more about a code, offline.

use crate::code::Code;
use crate::explain;
use crate::failure::Failure;
use crate::output::Output;
use crate::suggest;
use clap::Args;
use serde_json::json;

/// Flags of `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A code such as OB4001; all codes without it
    pub(crate) code: Option<String>,
}

pub(crate) fn run(args: &ExplainArgs, out: &mut Output) -> Result<(), Failure> {
    match &args.code {
        Some(text) => one(find(text)?, out)?,
        None => {
            for code in Code::ALL {
                let (title, _) = explain::text(code);
                if out.format().is_json() {
                    out.item(
                        &json!({ "$type": "error_code", "code": code.text(), "exit": code.exit(), "title": title }),
                    )?;
                } else {
                    out.line(format!("{}  exit {:>2}  {title}", code.text(), code.exit()))?;
                }
            }
        }
    }
    out.flush()
}

fn one(code: Code, out: &mut Output) -> Result<(), Failure> {
    let (title, body) = explain::text(code);
    if out.format().is_json() {
        let (text, exit) = (code.text(), code.exit());
        return out
            .document(&json!({ "$type": "error_code", "code": text, "exit": exit, "title": title, "text": body }));
    }
    out.line(format!("{}: {title} (exit code {})\n\n{body}", code.text(), code.exit()))
}

fn find(text: &str) -> Result<Code, Failure> {
    let wanted = text.to_ascii_uppercase();
    let found = Code::ALL.into_iter().find(|code| code.text() == wanted || code.text()[2..] == wanted);
    found.ok_or_else(|| {
        let failure = Failure::new(Code::Usage, format!("there is no code {text}"));
        match suggest::nearest(&wanted, Code::ALL.iter().map(|code| code.text())) {
            Some(near) => failure.help(format!("outboard explain {near}")),
            None => failure.help("outboard explain"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_any_case_and_without_their_letters() {
        assert_eq!(find("ob4001").expect("known"), Code::ValueDiffers);
        assert_eq!(find("4001").expect("known"), Code::ValueDiffers);
        assert!(find("OB4999").expect_err("unknown").help.is_some());
    }
}
