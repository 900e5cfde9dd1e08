//! Whether one value fits the type of its field, and how to make it fit.

use super::{Kind, Walker};
use crate::diagnostic::{Edit, Fix, Safety};
use crate::rule::did_you_mean;
use crate::schema::{Bounds, Type};
use crate::span::Span;
use crate::yaml::{NodeRef, Scalar, Style};

/// Longer values are named by their path.
const QUOTED: usize = 60;

/// TCP and UDP ports, wherever Istio's schema says no more than that they are integers.
const PORTS: Bounds = Bounds { min: Some(1), max: Some(65_535) };

/// How a value differs from what is wanted.
enum Misfit {
    /// Another type, with a way out if the text would fit.
    Type(Option<Repair>),
    /// A number outside its bounds.
    Range(Bounds),
    /// A string that is none of the allowed values.
    Enum(&'static [&'static str]),
}

#[derive(Clone, Copy)]
enum Repair {
    Quote,
    Unquote,
    AddSeconds,
}

impl<'a> Walker<'a, '_> {
    /// Compares a value that must be a scalar, or is none of what its type allows.
    pub(super) fn scalar(&mut self, ty: &'static Type, name: &str, owner: Span, node: NodeRef<'a>) {
        let text = node.text().unwrap_or("");
        if is_placeholder(text) {
            return;
        }
        let Some(misfit) = misfit(ty, name, node, self.is_crd) else { return };
        // A value of several lines is shown by its key.
        let is_inline = node.scalar().is_some() && node.style() != Some(Style::Block);
        let span = if is_inline || node.is_alias() { node.span() } else { owner };
        let subject = match node.style() {
            Some(Style::DoubleQuoted | Style::SingleQuoted) if matches!(misfit, Misfit::Type(_)) => {
                format!("\"{text}\"")
            }
            _ => text.to_owned(),
        };
        let is_short = is_inline && !text.is_empty() && text.len() <= QUOTED && !text.contains(['\n', '`']);
        let subject = if is_short && is_scalar_type(ty) { subject } else { self.path() };
        let place = Place::new(node, self.via);
        let (message, help, fix) = match misfit {
            Misfit::Type(repair) => {
                let (given, wanted) = (given(node), wanted(ty));
                let advice = match repair {
                    Some(Repair::Quote) => ": quote it",
                    Some(Repair::Unquote) => ": remove the quotes",
                    _ => "",
                };
                let message = format!("`{subject}` is {given} here, {wanted} is wanted{advice}");
                (message, help(ty, node, repair), repair.and_then(|repair| place.repair(repair)))
            }
            Misfit::Range(bounds) => {
                let is_less = text.starts_with('-');
                let allowed = match (bounds.min, bounds.max) {
                    (Some(min), Some(max)) if max < i64::from(i32::MAX) => {
                        format!("not between {min} and {max}")
                    }
                    (Some(min), max) if is_less || max.is_none() => {
                        format!("less than {min}, the least that is allowed")
                    }
                    (_, max) => format!("more than {}, the most that is allowed", max.unwrap_or(i64::MAX)),
                };
                (format!("`{subject}` is {allowed}"), None, None)
            }
            Misfit::Enum(values) => {
                let list: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                let near = did_you_mean(text, values.iter().copied());
                let message = format!("`{subject}` is not one of {}", list.join(", "));
                let help = near.map(|near| format!("did you mean `{near}`?"));
                (message, help, near.and_then(|near| place.replace(near)))
            }
        };
        if let Some(problem) = self.report(Kind::WrongType, span, message) {
            problem.help = help;
            problem.fix = fix;
        }
    }
}

/// Templates that something fills in before the API server sees them.
fn is_placeholder(text: &str) -> bool {
    text.contains("{{") || text.contains("${")
}

fn is_scalar_type(ty: &Type) -> bool {
    !matches!(ty, Type::Object(_) | Type::Map(_) | Type::List(_))
}

fn misfit(ty: &'static Type, name: &str, node: NodeRef<'_>, is_crd: bool) -> Option<Misfit> {
    let Some(scalar) = node.scalar().filter(|_| is_scalar_type(ty)) else { return Some(Misfit::Type(None)) };
    let quotable = node.style() == Some(Style::Plain);
    let quote = || Misfit::Type(quotable.then_some(Repair::Quote));
    match (ty, scalar) {
        (Type::Any, _) | (_, Scalar::Null) => None,
        (Type::String { values }, Scalar::Str(text)) => {
            let is_unset = text.is_empty() && !is_crd;
            let fits = values.is_empty() || is_unset || values.contains(&text);
            (!fits).then_some(Misfit::Enum(values))
        }
        (Type::String { values }, _) => {
            // Quotes help only if what is in them is allowed.
            let fits = values.is_empty() || node.text().is_some_and(|text| values.contains(&text));
            Some(if fits { quote() } else { Misfit::Type(None) })
        }
        (Type::Duration | Type::Timestamp | Type::IntOrString | Type::Quantity, Scalar::Str(_)) => None,
        (Type::Duration, Scalar::Int(_) | Scalar::Float(_)) => Some(Misfit::Type(Some(Repair::AddSeconds))),
        (Type::Quantity, Scalar::Int(_) | Scalar::UInt(_) | Scalar::Float(_)) => None,
        (Type::IntOrString, Scalar::Int(_) | Scalar::UInt(_)) => None,
        (Type::IntOrString, Scalar::Float(value)) if value.fract() == 0.0 => None,
        (Type::IntOrString | Type::Duration | Type::Timestamp | Type::Quantity, _) => Some(quote()),
        (Type::Integer { min, max }, scalar) => {
            integer(scalar, narrow(name, Bounds { min: *min, max: *max }))
        }
        (Type::Number { min, max }, scalar) => number(scalar, Bounds { min: *min, max: *max }),
        (Type::Boolean, Scalar::Bool(_)) => None,
        (Type::Boolean, Scalar::Str(text)) => {
            let means_one = matches!(Scalar::from_plain(text), Scalar::Bool(_)) && text.len() > 1;
            Some(Misfit::Type(means_one.then_some(Repair::Unquote)))
        }
        _ => Some(Misfit::Type(None)),
    }
}

/// Istio's schema allows any integer for a port; its webhook and Envoy do not.
fn narrow(name: &str, bounds: Bounds) -> Bounds {
    match name {
        "number" => Bounds { min: bounds.min.max(PORTS.min), ..PORTS },
        // Zero means unset for an optional port.
        "port" | "ports" | "targetPort" | "portNumber" if bounds.min.is_none_or(|min| min < 1) => {
            Bounds { min: Some(0), ..PORTS }
        }
        _ => bounds,
    }
}

fn integer(scalar: Scalar<'_>, bounds: Bounds) -> Option<Misfit> {
    match scalar {
        Scalar::Int(value) => (!bounds.contains(value)).then_some(Misfit::Range(bounds)),
        Scalar::UInt(_) => Some(Misfit::Range(Bounds { max: bounds.max.or(Some(i64::MAX)), ..bounds })),
        // JSON does not tell 80.0 from 80.
        Scalar::Float(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => {
            let value = format!("{value}").parse().unwrap_or(0);
            (!bounds.contains(value)).then_some(Misfit::Range(bounds))
        }
        Scalar::Str(text) => {
            // `0777` would become octal without its quotes.
            let is_plain = text.parse::<i64>().is_ok_and(|value| value.to_string() == text);
            Some(Misfit::Type(is_plain.then_some(Repair::Unquote)))
        }
        _ => Some(Misfit::Type(None)),
    }
}

fn number(scalar: Scalar<'_>, bounds: Bounds) -> Option<Misfit> {
    #[allow(clippy::cast_precision_loss)]
    let outside = |value: f64| {
        bounds.min.is_some_and(|min| value < min as f64) || bounds.max.is_some_and(|max| value > max as f64)
    };
    match scalar {
        #[allow(clippy::cast_precision_loss)]
        Scalar::Int(value) => outside(value as f64).then_some(Misfit::Range(bounds)),
        Scalar::Float(value) if value.is_finite() => outside(value).then_some(Misfit::Range(bounds)),
        Scalar::UInt(_) => bounds.max.is_some().then_some(Misfit::Range(bounds)),
        Scalar::Str(text) => {
            let is_plain = matches!(Scalar::from_plain(text), Scalar::Int(_) | Scalar::Float(_))
                && text.parse::<f64>().is_ok_and(f64::is_finite)
                && !(text.len() > 1 && text.starts_with('0') && !text.starts_with("0."));
            Some(Misfit::Type(is_plain.then_some(Repair::Unquote)))
        }
        _ => Some(Misfit::Type(None)),
    }
}

fn given(node: NodeRef<'_>) -> &'static str {
    match node.scalar() {
        Some(Scalar::Bool(_)) => "a boolean",
        Some(Scalar::Int(_) | Scalar::UInt(_) | Scalar::Float(_)) => "a number",
        Some(_) => "a string",
        None if node.is_sequence() => "a list",
        None => "an object",
    }
}

fn wanted(ty: &Type) -> &'static str {
    match ty {
        Type::String { .. } => "a string",
        Type::Integer { .. } => "an integer",
        Type::Number { .. } => "a number",
        Type::Boolean => "a boolean",
        Type::IntOrString => "an integer or a string",
        Type::Quantity => "a quantity such as `500m`",
        Type::Duration => "a duration such as `5s`",
        Type::Timestamp => "a date and time",
        Type::Object(_) | Type::Map(_) => "an object",
        Type::List(_) => "a list",
        Type::Any => "anything",
    }
}

fn help(ty: &Type, node: NodeRef<'_>, repair: Option<Repair>) -> Option<String> {
    let text = node.text().unwrap_or("");
    let read = match node.scalar() {
        Some(Scalar::Bool(value)) => value.to_string(),
        Some(Scalar::Int(value)) => value.to_string(),
        Some(Scalar::Float(value)) => value.to_string(),
        _ => String::new(),
    };
    match (repair, ty) {
        (Some(Repair::Quote), _) if !read.is_empty() && read != text => {
            Some(format!("Kubernetes reads `{text}` as `{read}` and refuses the object"))
        }
        (Some(Repair::Quote | Repair::Unquote), _) => Some("the API server refuses the object".to_owned()),
        (None, Type::Boolean) => Some("write `true` or `false`".to_owned()),
        (None, Type::String { .. }) if node.is_mapping() && !node.is_flow() => {
            Some("if this is meant as text, write it as a block: `|` after the key".to_owned())
        }
        (None, Type::List(_)) => Some("start every item with `- `".to_owned()),
        _ => None,
    }
}

/// The bytes of a scalar's text: without its quotes.
pub(super) fn text_span(node: NodeRef<'_>) -> Span {
    let span = node.span();
    match node.style() {
        Some(Style::DoubleQuoted | Style::SingleQuoted) if !node.is_alias() && span.end >= span.start + 2 => {
            Span::new(span.file, span.start + 1, span.end - 1)
        }
        _ => span,
    }
}

/// Where and how safely the text of a value can be changed.
struct Place<'a> {
    node: NodeRef<'a>,
    /// The value is elsewhere: not to be changed for the sake of this place.
    is_shared: bool,
    /// The value has an anchor, so another place may use it.
    is_anchored: bool,
}

impl<'a> Place<'a> {
    fn new(node: NodeRef<'a>, via: Option<Span>) -> Self {
        let before = node.document().source().get(..node.span().start as usize).unwrap_or("");
        let word = before.trim_end().rsplit([' ', '\n', '\t', '[', '{', ',']).next().unwrap_or("");
        Self {
            node,
            is_shared: via.is_some_and(|via| via != node.span()),
            is_anchored: word.starts_with('&'),
        }
    }

    fn safety(&self) -> Safety {
        if self.is_anchored { Safety::Unsafe } else { Safety::Safe }
    }

    fn edit(&self, safety: Safety, title: String, text: String) -> Option<Fix> {
        let span = self.node.span();
        let is_one_line = self.node.text().is_some_and(|text| !text.contains('\n'));
        let fix = Fix { title, safety, edits: vec![Edit { span, text }] };
        (!self.is_shared && is_one_line && self.node.tag().is_none()).then_some(fix)
    }

    fn repair(&self, repair: Repair) -> Option<Fix> {
        let text = self.node.text()?;
        match repair {
            Repair::Quote => self.edit(self.safety(), format!("quote `{text}`"), format!("\"{text}\"")),
            Repair::Unquote => self.edit(self.safety(), "remove the quotes".to_owned(), text.to_owned()),
            Repair::AddSeconds => self.edit(Safety::Unsafe, format!("use `{text}s`"), format!("{text}s")),
        }
    }

    fn replace(&self, value: &str) -> Option<Fix> {
        let text = match self.node.style()? {
            Style::DoubleQuoted => format!("\"{value}\""),
            Style::SingleQuoted => format!("'{value}'"),
            _ => value.to_owned(),
        };
        self.edit(Safety::Unsafe, format!("use `{value}`"), text)
    }
}
