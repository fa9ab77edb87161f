//! What a page says about itself (https://ogp.me), and what an image is.

use std::io::Cursor;

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use image::{ImageFormat, ImageReader};
use serde_json::{Map, Value};

/// The field with the page's image.
pub(super) const IMAGE: &str = "og:image";
/// Fields of one page.
const FIELDS_MAX: usize = 50;
/// Characters of one field, and bytes of its name.
const VALUE_LENGTH_MAX: usize = 1_000;
const NAME_BYTES_MAX: usize = 100;

/// What a page says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// OpenGraph fields without those of the image: whoever shows them must not be led elsewhere.
    pub fields: Map<String, Value>,
    /// Where the image is, as the page says it.
    pub image: Option<String>,
}

/// Pure. Read a page, however broken. The fields `og:title` and `og:description` are taken from
/// where pages had them before, if they are not there.
pub(super) fn read(html: &str) -> Found {
    let mut found = Found::default();
    let (mut title, mut description) = (None::<String>, None);
    let mut in_title = false;
    // Text of scripts is no markup.
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(html, emitter).flatten() {
        match token {
            Token::StartTag(tag) => match &**tag.name {
                b"title" => in_title = title.is_none(),
                b"meta" => {
                    let content = attribute(&tag, b"content");
                    let name = attribute(&tag, b"property").or_else(|| attribute(&tag, b"name"));
                    if let (Some(name), Some(content)) = (name, content) {
                        found.add(&name.to_ascii_lowercase(), &content, &mut description);
                    }
                }
                // Nothing about the page comes after it.
                b"body" => break,
                _ => {}
            },
            Token::EndTag(tag) if &**tag.name == b"title" => in_title = false,
            Token::String(text) if in_title => {
                title.get_or_insert_default().push_str(&String::from_utf8_lossy(&text));
            }
            _ => {}
        }
    }
    for (name, text) in [("og:title", title), ("og:description", description)] {
        if let Some(text) = text.map(|text| tidy(&text)).filter(|text| !text.is_empty()) {
            found.fields.entry(name).or_insert(text.into());
        }
    }
    found
}

impl Found {
    fn add(&mut self, name: &str, content: &str, description: &mut Option<String>) {
        if name == "description" && description.is_none() {
            *description = Some(content.to_owned());
        }
        let text = tidy(content);
        if !name.starts_with("og:") || name.len() > NAME_BYTES_MAX || text.is_empty() {
            return;
        }
        // All three are addresses of the image; the first one counts.
        if matches!(name, IMAGE | "og:image:url" | "og:image:secure_url") {
            self.image.get_or_insert(content.trim().to_owned());
        } else if !name.starts_with("og:image")
            && self.fields.len() < FIELDS_MAX
            && !self.fields.contains_key(name)
        {
            self.fields.insert(name.to_owned(), text.into());
        }
    }
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let value = tag.attributes.get(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// One line of visible text, not too long.
fn tidy(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(VALUE_LENGTH_MAX).collect()
}

/// An image that browsers show.
#[derive(Debug, PartialEq)]
pub(super) struct Image {
    pub content_type: &'static str,
    pub width: u32,
    pub height: u32,
}

/// Pure. What an image is, by its first bytes; `None`: none that is kept.
pub(super) fn image(bytes: &[u8]) -> Option<Image> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let content_type = match reader.format()? {
        ImageFormat::Png => "image/png",
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::Gif => "image/gif",
        ImageFormat::WebP => "image/webp",
        _ => return None,
    };
    let (width, height) = reader.into_dimensions().ok()?;
    Some(Image { content_type, width, height })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(html: &str) -> Value {
        read(html).fields.into()
    }

    #[test]
    fn open_graph_goes_before_older_ways() {
        let html = r#"<!doctype html><html><head><title>Old &amp; plain</title>
            <meta name="description" content="Older words">
            <META PROPERTY="og:title" CONTENT="New &quot;title&quot;">
            <meta property="og:site_name" content="Amt">
            <meta property="og:image" content="/a.png?x=1&amp;y=2">
            <meta property="og:image:width" content="99999"></head><body></body>"#;
        let found = read(html);
        assert_eq!(found.image.as_deref(), Some("/a.png?x=1&y=2"));
        let expected = json!({
            "og:title": "New \"title\"", "og:site_name": "Amt", "og:description": "Older words",
        });
        assert_eq!(Value::from(found.fields), expected);
    }

    #[test]
    fn a_page_without_open_graph_has_its_title() {
        assert_eq!(fields("<title>\n A  page\t</title>"), json!({ "og:title": "A page" }));
        assert_eq!(fields("nothing"), json!({}));
        assert_eq!(fields(""), json!({}));
    }

    #[test]
    fn what_looks_like_markup_in_scripts_and_texts_is_none() {
        let html = r#"<script>var a = '<meta property="og:title" content="evil">';</script>
            <title><meta property="og:title" content="evil"></title>
            <body><meta property="og:description" content="late">"#;
        let expected = r#"<meta property="og:title" content="evil">"#;
        assert_eq!(fields(html), json!({ "og:title": expected }));
    }

    #[test]
    fn broken_and_endless_pages_are_read_as_far_as_they_go() {
        for html in ["<meta", "<meta property=\"og:title", "<title>a", "<!--", "<![CDATA[", "<\0>"]
        {
            read(html);
        }
        let many: String =
            (0..1_000).map(|n| format!("<meta property=og:x{n} content=1>")).collect();
        assert_eq!(read(&many).fields.len(), FIELDS_MAX);
        let long = format!("<title>{}</title>", "ä".repeat(100_000));
        let title = fields(&long)["og:title"].as_str().map(|text| text.chars().count());
        assert_eq!(title, Some(VALUE_LENGTH_MAX));
        read(&"<a ".repeat(300_000));
    }

    #[test]
    fn an_image_is_what_its_bytes_say() {
        assert_eq!(image(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), None);
        assert_eq!(image(b""), None);
        assert_eq!(image(b"\x89PNG\r\n\x1a\n"), None);
        let mut png = Cursor::new(Vec::new());
        image::DynamicImage::new_rgb8(3, 2).write_to(&mut png, ImageFormat::Png).expect("written");
        let expected = Image { content_type: "image/png", width: 3, height: 2 };
        assert_eq!(image(png.get_ref()), Some(expected));
    }
}
