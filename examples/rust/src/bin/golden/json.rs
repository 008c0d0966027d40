//! As much of a JSON reader as manifests and golden vectors need.

#[derive(Debug)]
pub enum Json<'a> {
    /// What is not there; null, true and false, for which nobody asks, are the same.
    Nothing,
    Number(f64),
    /// As it is written: names have no escapes.
    Text(&'a str),
    List(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Read a text; the error is the place in it that is wrong.
    pub fn parse(text: &'a str) -> Result<Json<'a>, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value().filter(|_| reader.peek().is_none());
        value.ok_or_else(|| format!("expected JSON, got something else at byte {}", reader.at))
    }

    pub fn get(&self, key: &str) -> &Json<'a> {
        match self {
            Json::Object(members) => {
                members.iter().find(|(name, _)| *name == key).map_or(&Json::Nothing, |(_, value)| value)
            }
            _ => &Json::Nothing,
        }
    }

    pub fn list(&self) -> &[Json<'a>] {
        match self {
            Json::List(values) => values,
            _ => &[],
        }
    }

    pub fn text(&self) -> &'a str {
        match self {
            Json::Text(text) => text,
            _ => "",
        }
    }

    /// Give a number; NaN, which compares with nothing, if it is none.
    pub fn number(&self) -> f64 {
        match self {
            Json::Number(number) => *number,
            _ => f64::NAN,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Look at the next character that is not blank.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.peek().filter(|character| *character == wanted)?;
        self.at += wanted.len_utf8();
        Some(())
    }

    fn value(&mut self) -> Option<Json<'a>> {
        match self.peek()? {
            '{' => Some(Json::Object(self.items('{', '}', Reader::member)?)),
            '[' => Some(Json::List(self.items('[', ']', Reader::value)?)),
            '"' => Some(Json::Text(self.string()?)),
            _ => self.word(),
        }
    }

    fn items<T>(&mut self, open: char, close: char, item: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        self.take(open)?;
        while self.take(close).is_none() {
            if !items.is_empty() {
                self.take(',')?;
            }
            items.push(item(self)?);
        }
        Some(items)
    }

    fn member(&mut self) -> Option<(&'a str, Json<'a>)> {
        let name = self.string()?;
        self.take(':')?;
        Some((name, self.value()?))
    }

    fn string(&mut self) -> Option<&'a str> {
        self.take('"')?;
        let rest = &self.text[self.at..];
        let mut escaped = false;
        let end = rest.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        })?;
        self.at += end + 1;
        Some(&rest[..end])
    }

    fn word(&mut self) -> Option<Json<'a>> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len());
        let value = match &rest[..end] {
            "null" | "true" | "false" => Json::Nothing,
            word => Json::Number(word.parse().ok()?),
        };
        self.at += end;
        Some(value)
    }
}
