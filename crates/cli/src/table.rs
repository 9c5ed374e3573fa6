//! A plain table for a terminal. Pure.

/// Lays out rows under headers, two spaces apart, the last column ragged.
pub(crate) fn render(headers: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let header = headers.get(column).map_or(0, |header| header.chars().count());
        cells.chain([header]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(headers.to_vec());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_do_not_trail() {
        let rows = [vec!["core1".to_owned(), "up".to_owned()], vec!["a".to_owned(), String::new()]];
        let text = render(&["NAME", "VERDICT"], &rows);
        assert_eq!(text, "NAME   VERDICT\ncore1  up\na\n");
    }
}
