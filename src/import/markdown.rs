//! Tables as people paste them: rows of cells between bars, a line of dashes below the header.

use super::delimited::{Passed, Table};

/// The first table of a text, and the lines that are none of it; `None` where there is none.
pub fn table(file: &str, text: &str) -> Option<(Table, Passed)> {
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.windows(2).position(|pair| {
        let dashes = cells(pair[1]).unwrap_or_default();
        let is_rule = |cell: &&str| !cell.is_empty() && cell.chars().all(|c| "-: ".contains(c));
        let header = cells(pair[0]).map_or(0, |header| header.len());
        header > 1 && dashes.len() == header && dashes.iter().all(is_rule)
    })?;
    let columns = cells(lines[head])?.into_iter().map(str::to_owned).collect();
    let mut table = Table::new(file, columns);
    let mut passed = Passed::default();
    for (index, line) in lines.iter().enumerate() {
        match cells(line) {
            Some(row) if index > head + 1 && row.len() == table.columns.len() => {
                table.push(index + 1, row);
            }
            _ if index == head || index == head + 1 || line.trim().is_empty() => {}
            _ => passed.add(index + 1),
        }
    }
    Some((table, passed))
}

/// The cells of a row: `| a | b |`.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?;
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    Some(inner.split('|').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_table_is_read_and_what_stands_around_it_is_counted() {
        let text = "ggml_cuda_init: found 1 CUDA devices\n| model | test |   t/s |\n| ----- | ---: | ----: |\n\
                    | a     | pp5  | 1 ± 2 |\n| b     | tg5  | 3 ± 4 |\n\nbuild: 0a1b (5000)\n";
        let (table, passed) = table("x.md", text).unwrap();
        assert_eq!(table.columns, ["model", "test", "t/s"]);
        assert_eq!(
            (table.rows(), table.cell(1, 2), table.line(1)),
            (2, "3 ± 4", 5)
        );
        assert_eq!((passed.count, passed.first), (2, 1));
        for none in ["a,b\n1,2\n", "| a | b |\n| 1 | 2 |\n", "", "|\n|-\n"] {
            assert_eq!(super::table("x.md", none), None, "{none}");
        }
    }
}
