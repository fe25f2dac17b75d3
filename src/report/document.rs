//! A report as plain data. Its texts are texts: whoever writes them down escapes them.

/// The whole of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it is about.
    pub title: String,
    /// The result in one sentence.
    pub lead: String,
    /// In order.
    pub sections: Vec<Section>,
}

/// A part with a heading.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// In order.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Lines of equal rank.
    List(Vec<String>),
    /// Rows, each as long as the head.
    Table {
        /// What the columns are.
        head: Vec<&'static str>,
        /// The rows.
        rows: Vec<Vec<String>>,
    },
    /// Lines as a program printed them, under a name.
    Lines {
        /// Whose they are.
        name: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// A picture.
    Plot(Plot),
}

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Short, for the name of a file.
    pub name: &'static str,
    /// What it shows.
    pub caption: String,
    /// The picture itself. One that came from outside too: it is never made a part of the page.
    pub svg: String,
}
