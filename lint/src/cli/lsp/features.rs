//! What the library says about a text, in the protocol's words.

use std::collections::HashMap;
use std::path::PathBuf;

use coalmine::settings::SettingsError;
use coalmine::{FileId, Span, ide, rules};
use serde_json::json;

use super::super::input::CONFIG;
use super::convert::*;
use super::server::Client;
use super::workspace::{Group, Workspace};

/// Converts spans of one group, with the lines of each text found once.
pub(super) struct Converter<'g> {
    group: &'g Group,
    client: Client,
    lines: HashMap<FileId, Lines<'g>>,
}

impl<'g> Converter<'g> {
    pub(super) fn new(group: &'g Group, client: Client) -> Self {
        Self { group, client, lines: HashMap::new() }
    }

    pub(super) fn client(&self) -> Client {
        self.client
    }

    pub(super) fn lines(&mut self, file: FileId) -> &Lines<'g> {
        let (group, unit) = (self.group, self.client.unit);
        self.lines.entry(file).or_insert_with(|| Lines::new(group.deployment.files().text(file), unit))
    }

    pub(super) fn range(&mut self, span: Span) -> Range {
        self.lines(span.file).range(span.start, span.end)
    }

    pub(super) fn uri(&self, file: FileId) -> Option<Uri> {
        uri_of(self.group.paths.get(file.index())?)
    }

    pub(super) fn location(&mut self, span: Span) -> Option<Location> {
        Some(Location { uri: self.uri(span.file)?, range: self.range(span) })
    }

    /// A finding as the client shows it.
    pub(super) fn diagnostic(&mut self, found: &coalmine::Diagnostic) -> Diagnostic {
        let message = match &found.help {
            Some(help) => format!("{}\n{help}", found.message),
            None => found.message.clone(),
        };
        let related: Vec<DiagnosticRelatedInformation> = found
            .related
            .iter()
            .filter(|_| self.client.related)
            .map(|related| (related.span, related.message.clone()))
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|(span, message)| {
                Some(DiagnosticRelatedInformation { location: self.location(span)?, message })
            })
            .collect();
        let href = rules::find(found.rule).and_then(|rule| Uri::parse(&rule.url()).ok());
        let fix = found.fix.as_ref().map(|fix| {
            let edits: Vec<_> = fix
                .edits
                .iter()
                .filter_map(|edit| {
                    let location = self.location(edit.span)?;
                    Some(json!({ "uri": location.uri, "range": location.range, "newText": edit.text }))
                })
                .collect();
            json!({ "fix": { "title": fix.title, "safety": fix.safety.as_str(), "edits": edits } })
        });
        Diagnostic {
            range: self.range(found.span),
            severity: Some(severity(found.severity)),
            code: Some(Code::String(found.rule.to_owned())),
            code_description: href.map(|href| CodeDescription { href }),
            source: Some("coalmine".to_owned()),
            message: Message::String(message),
            tags: tags(found.rule),
            related_information: (!related.is_empty()).then_some(related),
            data: fix,
        }
    }
}

/// The findings of a group by file, for the files that have some; `None` when it has not been linted.
pub(super) fn diagnostics(group: &Group, client: Client) -> Option<HashMap<PathBuf, Vec<Diagnostic>>> {
    let mut found: HashMap<PathBuf, Vec<Diagnostic>> = HashMap::new();
    let mut convert = Converter::new(group, client);
    for diagnostic in &group.report.as_ref()?.diagnostics {
        let Some(path) = group.paths.get(diagnostic.span.file.index()) else { continue };
        found.entry(path.clone()).or_default().push(convert.diagnostic(diagnostic));
    }
    Some(found)
}

/// What is wrong with a `coalmine.yaml`.
pub(super) fn broken_settings(text: &str, errors: &[SettingsError], client: Client) -> Vec<Diagnostic> {
    let lines = Lines::new(text, client.unit);
    let diagnostic = |error: &SettingsError| Diagnostic {
        range: lines.range(error.range.start, error.range.end),
        severity: Some(DiagnosticSeverity::Error),
        code: Some(Code::String("settings".to_owned())),
        source: Some("coalmine".to_owned()),
        message: Message::String(error.message.clone()),
        ..Diagnostic::default()
    };
    errors.iter().map(diagnostic).collect()
}

/// A place in a text, for the library.
struct Asked<'w> {
    group: &'w Group,
    file: FileId,
    offset: u32,
    convert: Converter<'w>,
}

fn asked<'w>(
    workspace: &'w mut Workspace<'_>,
    client: Client,
    place: &TextDocumentPositionParams,
) -> Option<Asked<'w>> {
    let (number, file) = workspace.place(&path_of(&place.text_document.uri))?;
    let group = workspace.groups.get(number)?;
    let mut convert = Converter::new(group, client);
    let offset = convert.lines(file).offset(place.position);
    Some(Asked { group, file, offset, convert })
}

/// What is named at a place, and the rules whose findings are there.
pub(super) fn hover(workspace: &mut Workspace<'_>, client: Client, params: &HoverParams) -> Option<Hover> {
    let place = &params.text_document_position_params;
    let path = path_of(&place.text_document.uri);
    if path.file_name().is_some_and(|name| name == CONFIG) {
        let text = workspace.text(&path)?;
        let lines = Lines::new(&text, client.unit);
        let (rule, start, end) = ide::rule_at(&text, lines.offset(place.position))?;
        return Some(markdown(ide::rule_page(rule), lines.range(start, end)));
    }
    let Asked { group, file, offset, mut convert } = asked(workspace, client, place)?;
    let named = ide::hover(&group.deployment, file, offset);
    let findings = group.report.iter().flat_map(|report| &report.diagnostics);
    let here: Vec<_> = findings
        .filter(|found| found.span.file == file && found.span.start <= offset && offset <= found.span.end)
        .collect();
    let span = named.as_ref().map(|hover| hover.span).or_else(|| here.first().map(|found| found.span))?;
    let mut pages: Vec<String> = named.into_iter().map(|hover| hover.text).collect();
    let mut rules: Vec<_> = here.iter().filter_map(|found| rules::find(found.rule)).collect();
    rules.dedup_by_key(|rule| rule.id);
    pages.extend(rules.into_iter().map(ide::rule_page));
    Some(markdown(pages.join("\n\n---\n\n"), convert.range(span)))
}

fn markdown(text: String, range: Range) -> Hover {
    let contents = Contents::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value: text });
    Hover { contents, range: Some(range) }
}

pub(super) fn definition(
    workspace: &mut Workspace<'_>,
    client: Client,
    params: &DefinitionParams,
) -> Vec<Location> {
    let place = &params.text_document_position_params;
    let Some(mut asked) = asked(workspace, client, place) else { return Vec::new() };
    let found = ide::definitions(&asked.group.deployment, asked.file, asked.offset);
    found.into_iter().filter_map(|span| asked.convert.location(span)).collect()
}

pub(super) fn references(
    workspace: &mut Workspace<'_>,
    client: Client,
    params: &ReferenceParams,
) -> Vec<Location> {
    let place = &params.text_document_position_params;
    let Some(mut asked) = asked(workspace, client, place) else { return Vec::new() };
    let declaration = params.context.include_declaration;
    let found = ide::references(&asked.group.deployment, asked.file, asked.offset, declaration);
    found.into_iter().filter_map(|span| asked.convert.location(span)).collect()
}

pub(super) fn highlights(
    workspace: &mut Workspace<'_>,
    client: Client,
    params: &DocumentHighlightParams,
) -> Vec<DocumentHighlight> {
    let place = &params.text_document_position_params;
    let Some(mut asked) = asked(workspace, client, place) else { return Vec::new() };
    let found = ide::references(&asked.group.deployment, asked.file, asked.offset, true);
    let own = found.into_iter().filter(|span| span.file == asked.file);
    own.map(|span| DocumentHighlight { range: asked.convert.range(span), kind: None }).collect()
}

pub(super) fn completion(
    workspace: &mut Workspace<'_>,
    client: Client,
    params: &CompletionParams,
) -> Vec<CompletionItem> {
    let place = &params.text_document_position_params;
    let Some(mut asked) = asked(workspace, client, place) else { return Vec::new() };
    let Some(found) = ide::completion(&asked.group.deployment, asked.file, asked.offset) else {
        return Vec::new();
    };
    let range = asked.convert.range(found.span);
    let item = |(number, item): (usize, ide::Item)| CompletionItem {
        kind: Some(match item.kind {
            ide::ItemKind::Host => CompletionItemKind::Module,
            ide::ItemKind::Subset | ide::ItemKind::Label => CompletionItemKind::EnumMember,
            ide::ItemKind::Port => CompletionItemKind::Value,
            ide::ItemKind::Gateway => CompletionItemKind::Interface,
            ide::ItemKind::Field => CompletionItemKind::Field,
            ide::ItemKind::Value => CompletionItemKind::Enum,
        }),
        detail: Some(item.detail).filter(|detail| !detail.is_empty()),
        documentation: item
            .docs
            .map(|value| Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value })),
        sort_text: Some(format!("{number:04}")),
        text_edit: Some(CompletionItemTextEdit::TextEdit(TextEdit { range, new_text: item.text })),
        label: item.label,
        ..CompletionItem::default()
    };
    found.items.into_iter().enumerate().map(item).collect()
}

pub(super) fn lenses(
    workspace: &mut Workspace<'_>,
    client: Client,
    params: &CodeLensParams,
) -> Vec<CodeLens> {
    let Some((number, file)) = workspace.place(&path_of(&params.text_document.uri)) else {
        return Vec::new();
    };
    let Some(group) = workspace.groups.get(number) else { return Vec::new() };
    let mut convert = Converter::new(group, client);
    let lens = |lens: ide::Lens| {
        let range = convert.range(lens.span);
        let places: Vec<Location> = lens.places.iter().filter_map(|span| convert.location(*span)).collect();
        // The arguments are those of VS Code's `editor.action.showReferences`. A client that knows no such
        // command shows the title alone.
        let arguments = vec![json!(params.text_document.uri), json!(range.start), json!(places)];
        let command = Command {
            title: lens.title,
            tooltip: None,
            command: "coalmine.showReferences".to_owned(),
            arguments: Some(arguments),
        };
        CodeLens { range, command: Some(command), data: None }
    };
    ide::lenses(&group.deployment, file).into_iter().map(lens).collect()
}

fn symbol_kind(kind: ide::SymbolKind) -> SymbolKind {
    match kind {
        ide::SymbolKind::Object => SymbolKind::Object,
        ide::SymbolKind::Route => SymbolKind::Function,
        ide::SymbolKind::Subset => SymbolKind::EnumMember,
        ide::SymbolKind::Port | ide::SymbolKind::Server => SymbolKind::Interface,
        ide::SymbolKind::Container => SymbolKind::Package,
    }
}

pub(super) fn symbols(
    workspace: &mut Workspace<'_>,
    client: Client,
    params: &DocumentSymbolParams,
) -> Option<DocumentSymbolResponse> {
    let (number, file) = workspace.place(&path_of(&params.text_document.uri))?;
    let group = workspace.groups.get(number)?;
    let mut convert = Converter::new(group, client);
    let found = ide::symbols(&group.deployment, file);
    if client.nested_symbols {
        let nested = found.into_iter().map(|symbol| nested(&mut convert, symbol)).collect();
        return Some(DocumentSymbolResponse::DocumentSymbolList(nested));
    }
    let mut flat = Vec::new();
    for symbol in found {
        let (container, children) = (symbol.name.clone(), symbol.children.clone());
        flat.extend(flat_symbol(&mut convert, symbol, None));
        for child in children {
            flat.extend(flat_symbol(&mut convert, child, Some(container.clone())));
        }
    }
    Some(DocumentSymbolResponse::SymbolInformationList(flat))
}

fn nested(convert: &mut Converter<'_>, symbol: ide::Symbol) -> DocumentSymbol {
    let children: Vec<DocumentSymbol> =
        symbol.children.into_iter().map(|child| nested(convert, child)).collect();
    let detail = Some(symbol.detail).filter(|detail| !detail.is_empty());
    let (range, name) = (convert.range(symbol.span), convert.range(symbol.name_span));
    let kind = symbol_kind(symbol.kind);
    DocumentSymbol::new(symbol.name, detail, kind, None, None, range, name, Some(children))
}

fn flat_symbol(
    convert: &mut Converter<'_>,
    symbol: ide::Symbol,
    container: Option<String>,
) -> Option<SymbolInformation> {
    let location = convert.location(symbol.name_span)?;
    let kind = symbol_kind(symbol.kind);
    let base = BaseSymbolInformation { name: symbol.name, kind, tags: None, container_name: container };
    Some(SymbolInformation::new(None, location, base))
}

/// The objects of the workspace whose kind and name contain the letters of the query in order.
pub(super) fn workspace_symbols(
    workspace: &mut Workspace<'_>,
    client: Client,
    params: &WorkspaceSymbolParams,
) -> Vec<SymbolInformation> {
    workspace.refresh();
    let wanted = params.query.to_lowercase();
    let matches = |name: &str| {
        let name = name.to_lowercase();
        let mut letters = name.chars();
        wanted.chars().filter(|letter| !letter.is_whitespace()).all(|letter| letters.any(|own| own == letter))
    };
    let mut found = Vec::new();
    for group in &workspace.groups {
        let files = group.deployment.files();
        let mut convert = Converter::new(group, client);
        for (file, _) in files.iter().filter(|(file, _)| !files.is_context(*file)) {
            for symbol in ide::symbols(&group.deployment, file) {
                if matches(&symbol.name) {
                    let namespace = symbol.detail.clone();
                    found.extend(flat_symbol(&mut convert, symbol, Some(namespace)));
                }
            }
        }
    }
    found
}
