//! XInclude, as far as XEP-0227 §4 needs it: files beside the main file or below it, and nothing else.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use starling_xml::Head;

/// The file that `<xi:include/>` in `from` means. It is in `base`, which is canonical: neither `..` nor a link leads out.
pub(super) fn resolve(base: &Path, from: &Path, include: &Head) -> Result<PathBuf> {
    for name in ["parse", "xpointer"] {
        ensure!(include.attribute(name).is_none(), "an include with {name} is not read");
    }
    let Some(href) = include.attribute("href") else { bail!("an include without href is not read") };
    let name = decoded(href).with_context(|| format!("the include of {href:?}"))?;
    let is_inside = !name.is_empty()
        && !name.starts_with('/')
        && !name.contains(['\\', '\0'])
        && !name.split('/').any(|part| part.is_empty() || part == ".." || part == ".");
    ensure!(is_inside && !has_scheme(href), "the include of {href:?} is not a file of this directory");
    let path = from.parent().unwrap_or(base).join(&name);
    let path = path.canonicalize().with_context(|| format!("the include of {href:?}"))?;
    ensure!(
        path.starts_with(base) && path.is_file(),
        "the include of {href:?} is not a file of this directory"
    );
    Ok(path)
}

/// RFC 3986 §3.1.
fn has_scheme(href: &str) -> bool {
    let Some((scheme, _)) = href.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
}

/// RFC 3986 §2.1; servers write names as they are, too, so a `%` that begins no code is one.
fn decoded(href: &str) -> Result<String> {
    let (mut out, mut rest) = (Vec::with_capacity(href.len()), href.as_bytes());
    while let [first, behind @ ..] = rest {
        let code = behind.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    Ok(String::from_utf8(out)?)
}

#[cfg(test)]
mod tests {
    use starling_xml::{Document, Limits, Piece};

    use super::*;

    fn include(attributes: &str) -> Head {
        let mut document = Document::new(Limits::AFTER_LOGIN, |_, _| false);
        document.push(format!("<include {attributes}/>").as_bytes());
        let Ok(Some(Piece::Element(raw))) = document.read() else { panic!("{attributes}") };
        raw.head
    }

    #[test]
    fn only_files_of_the_directory_are_included() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap().join("export");
        std::fs::create_dir_all(base.join("a.example")).unwrap();
        for name in ["export/main.xml", "export/a.example.xml", "export/a.example/al%ice.xml", "secret.xml"] {
            std::fs::write(base.parent().unwrap().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("../secret.xml", base.join("link.xml")).unwrap();
        let secret = base.parent().unwrap().join("secret.xml");
        let absolute = format!("href='{}'", secret.display());
        for (attributes, good) in [
            ("href='a.example.xml'", true),
            ("href='a.example/al%25ice.xml'", true),
            ("href='a.example/al%ice.xml'", true),
            ("href='../secret.xml'", false),
            ("href='%2e%2e/secret.xml'", false),
            ("href='a.example/../a.example.xml'", false),
            (&absolute, false),
            ("href='link.xml'", false),
            ("href='file:a.example.xml'", false),
            ("href='https://a.example/a.xml'", false),
            ("href='a.example'", false),
            ("href='none.xml'", false),
            ("href=''", false),
            ("href='a.example.xml' parse='text'", false),
            ("href='a.example.xml' xpointer='x'", false),
            ("", false),
        ] {
            let found = resolve(&base, &base.join("main.xml"), &include(attributes));
            assert_eq!(found.is_ok(), good, "{attributes} {found:?}");
        }
    }
}
