//! What one Rust file says: its modules, what it defines, imports and names. Test code is left
//! aside, as it may look at everything.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, UseTree, Visibility};

/// A path in a file, with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// As written, without generic arguments; a leading `::` is an empty first segment.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// One name that a `use` brings in.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    /// What it is called here; `*` for everything of the path.
    pub(crate) name: String,
    pub(crate) from: Mention,
    /// Whether it is handed on: a signpost for others, rather than something used here.
    pub(crate) reexported: bool,
}

/// A `mod`, with its content where it stands in the same file.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) inline: Option<Source>,
    pub(crate) line: usize,
}

/// Everything that matters for the graph of modules.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) modules: Vec<Declared>,
    pub(crate) defined: BTreeSet<String>,
    /// Macros that are named as if the root of the crate defined them.
    pub(crate) exported: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Mention>,
}

impl Source {
    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let mut source = Self::default();
        if !is_for_tests(&file.attrs) {
            file.items.iter().for_each(|item| source.visit_item(item));
        }
        Ok(source)
    }

    fn use_tree(&mut self, tree: &UseTree, prefix: &mut Vec<String>, reexported: bool) {
        let mut add = |name: String, path: Vec<String>, span: Span| {
            let from = Mention { path, line: span.start().line };
            self.imports.push(Import { name, from, reexported });
        };
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(&path.tree, prefix, reexported);
                prefix.pop();
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.use_tree(tree, prefix, reexported));
            }
            UseTree::Glob(glob) => {
                add("*".to_owned(), prefix.clone(), glob.star_token.spans[0]);
            }
            UseTree::Name(name) => {
                let span = name.ident.span();
                let (name, path) = leaf(&name.ident, prefix);
                add(name, path, span);
            }
            UseTree::Rename(rename) => {
                let (_, path) = leaf(&rename.ident, prefix);
                add(rename.rename.to_string(), path, rename.ident.span());
            }
        }
    }

    /// Paths among tokens that no grammar is known for: the arguments of macros and attributes.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        let mut after_dot = false;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) if !after_dot => {
                    let mut path = vec![first.to_string()];
                    while let Some(next) = path_goes_on(&tokens[at..]) {
                        path.push(next.to_string());
                        at += 3;
                    }
                    self.mentions.push(Mention { path, line: first.span().start().line });
                }
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    self.mentions.extend(quoted_path(&literal.to_string(), line));
                }
                _ => {}
            }
            after_dot = matches!(token, TokenTree::Punct(punct) if punct.as_char() == '.');
        }
    }
}

/// The name that a last segment brings in, and its path: `a::{self}` brings in `a`.
fn leaf(ident: &Ident, prefix: &[String]) -> (String, Vec<String>) {
    let mut path = prefix.to_vec();
    if ident != "self" || path.is_empty() {
        path.push(ident.to_string());
    }
    (path.last().cloned().unwrap_or_default(), path)
}

fn path_goes_on(tokens: &[TokenTree]) -> Option<&Ident> {
    let colon = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ':');
    match tokens {
        [one, two, TokenTree::Ident(next), ..] if colon(one) && colon(two) => Some(next),
        _ => None,
    }
}

/// The path in a literal such as that of `#[serde(with = "crate::hex")]`.
fn quoted_path(literal: &str, line: usize) -> Option<Mention> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let path: Vec<String> = text.split("::").map(str::to_owned).collect();
    let is_word = |word: &String| {
        !word.is_empty()
            && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    (path.len() > 1 && path.iter().all(is_word)).then_some(Mention { path, line })
}

/// Whether something is compiled for tests only.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().is_ident("test") {
            return true;
        }
        let Ok(list) = attribute.meta.require_list() else { return false };
        attribute.path().is_ident("cfg") && needs_test(list.tokens.clone())
    })
}

/// Whether a `cfg` condition cannot hold without `test`.
fn needs_test(condition: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(word)] => word == "test",
        [TokenTree::Ident(all), TokenTree::Group(group)]
            if all == "all" && group.delimiter() == Delimiter::Parenthesis =>
        {
            let words = group.stream().into_iter();
            let mut words = words.filter(|word| matches!(word, TokenTree::Ident(_)));
            words.any(|word| word.to_string() == "test")
        }
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name): (&[Attribute], Option<&Ident>) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Mod(item) => (&item.attrs, None),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Use(item) => (&item.attrs, None),
            _ => (&[], None),
        };
        if is_for_tests(attributes) {
            return;
        }
        self.defined.extend(name.map(ToString::to_string));
        let is_exported = |attribute: &Attribute| attribute.path().is_ident("macro_export");
        if attributes.iter().any(is_exported) {
            self.exported.extend(name.map(ToString::to_string));
        }
        match item {
            Item::Mod(item) => {
                let inline = item.content.as_ref().map(|(_, items)| {
                    let mut inner = Self::default();
                    items.iter().for_each(|item| inner.visit_item(item));
                    inner
                });
                let line = item.ident.span().start().line;
                self.modules.push(Declared { name: item.ident.to_string(), inline, line });
            }
            Item::Use(item) => {
                let mut prefix = Vec::new();
                if item.leading_colon.is_some() {
                    prefix.push(String::new());
                }
                let reexported = !matches!(item.vis, Visibility::Inherited);
                self.use_tree(&item.tree, &mut prefix, reexported);
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = Vec::new();
        if path.leading_colon.is_some() {
            segments.push(String::new());
        }
        segments.extend(path.segments.iter().map(|segment| segment.ident.to_string()));
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        self.mentions.push(Mention { path: segments, line });
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if !attribute.path().is_ident("doc")
            && let Ok(list) = attribute.meta.require_list()
        {
            self.tokens(list.tokens.clone());
        }
    }
}
