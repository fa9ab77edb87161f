//! Forms: each carries the word, each field has a label, each error is tied to its field.

use maud::{Markup, html};

use super::{Visit, visit::WORD};

/// A form that is sent to a page of ours.
pub(super) fn form(visit: &Visit, action: &str, content: &Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name=(WORD) value=(visit.word);
            (content)
        }
    }
}

/// A field of a form.
pub(super) struct Field<'f> {
    pub name: &'f str,
    pub label: &'f str,
    /// `text`, `password`, ….
    pub kind: &'f str,
    /// What browsers fill in (HTML, "autofill").
    pub autocomplete: &'f str,
    pub value: &'f str,
    pub hint: Option<&'f str>,
    /// Whether the error above the form concerns this field.
    pub is_wrong: bool,
}

impl Field<'_> {
    /// A field for a password.
    pub(super) fn password<'f>(name: &'f str, label: &'f str, autocomplete: &'f str) -> Field<'f> {
        Field {
            name,
            label,
            kind: "password",
            autocomplete,
            value: "",
            hint: None,
            is_wrong: false,
        }
    }

    pub(super) fn show(&self) -> Markup {
        let id = format!("field-{}", self.name);
        let hint_id = self.hint.map(|_| format!("hint-{}", self.name));
        let described: Vec<&str> =
            [self.is_wrong.then_some("error"), hint_id.as_deref()].into_iter().flatten().collect();
        let described = (!described.is_empty()).then(|| described.join(" "));
        html! {
            div.field {
                label for=(id) { (self.label) }
                @if let (Some(hint), Some(hint_id)) = (self.hint, &hint_id) {
                    p.hint id=(hint_id) { (hint) }
                }
                input id=(id) name=(self.name) type=(self.kind) value=(self.value) required
                    autocomplete=(self.autocomplete) autocapitalize="none" spellcheck="false"
                    aria-describedby=[described] aria-invalid=[self.is_wrong.then_some("true")];
            }
        }
    }
}

/// What went wrong, before the form. Screen readers say it at once.
pub(super) fn error(text: Option<&str>) -> Markup {
    html! {
        @if let Some(text) = text {
            p.error #error role="alert" { (text) }
        }
    }
}

/// What was done.
pub(super) fn done(text: &str) -> Markup {
    html! { p.done role="status" { (text) } }
}

/// The button that sends a form.
pub(super) fn submit(text: &str) -> Markup {
    html! { p { button type="submit" { (text) } } }
}
