//! What the demo shows: a live table where there is a terminal, plain lines where there is none.

use std::io::{IsTerminal, Write, stdout};

use comfy_table::{Attribute, Cell, Color, Table, presets::UTF8_HORIZONTAL_ONLY};
use tokio::time::Instant;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub grant: String,
    pub phase: String,
    pub rancher: String,
    pub left: String,
}

/// The screen.
pub struct Screen {
    began: Instant,
    live: bool,
    /// Lines of the table that stand on the terminal now.
    drawn: usize,
    rows: Vec<Row>,
    failures: usize,
}

impl Screen {
    pub fn new() -> Self {
        Self { began: Instant::now(), live: stdout().is_terminal(), drawn: 0, rows: Vec::new(), failures: 0 }
    }

    /// What the demo does next.
    pub fn chapter(&mut self, text: &str) {
        self.line(&format!("\n{text}"));
    }

    /// What just happened.
    pub fn say(&mut self, text: &str) {
        let at = self.began.elapsed().as_secs_f64();
        self.line(&format!("{at:7.2} s   {text}"));
    }

    /// Something the operator promises: whether it held.
    pub fn claim(&mut self, holds: bool, text: &str) {
        let at = self.began.elapsed().as_secs_f64();
        let mark = match (holds, self.live) {
            (true, true) => "\x1b[32m✔\x1b[0m",
            (true, false) => "ok  ",
            (false, true) => "\x1b[31m✘\x1b[0m",
            (false, false) => "FAIL",
        };
        self.failures += usize::from(!holds);
        self.line(&format!("{at:7.2} s {mark} {text}"));
    }

    /// How many claims did not hold.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// The grants as they stand. On a terminal the table is drawn anew; elsewhere only what changed is told.
    pub fn show(&mut self, rows: Vec<Row>) {
        if self.live {
            self.clear();
            self.rows = rows;
            self.draw();
            return;
        }
        let told: Vec<_> = rows
            .iter()
            .filter(|row| {
                !self
                    .rows
                    .iter()
                    .any(|was| was.grant == row.grant && was.phase == row.phase && was.rancher == row.rancher)
            })
            .cloned()
            .collect();
        for row in told {
            self.say(&format!("{}: {}, in Rancher: {}", row.grant, row.phase, row.rancher));
        }
        self.rows = rows;
    }

    fn line(&mut self, text: &str) {
        self.clear();
        println!("{text}");
        self.draw();
    }

    fn clear(&mut self) {
        if self.live && self.drawn > 0 {
            print!("\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn draw(&mut self) {
        if !self.live || self.rows.is_empty() {
            return;
        }
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["Grant", "Phase", "In Rancher", "Time left"]);
        for row in &self.rows {
            let color = match row.phase.as_str() {
                "Active" => Color::Green,
                "Activating" | "Revoking" | "Pending" => Color::Yellow,
                _ => Color::Blue,
            };
            table.add_row([
                Cell::new(&row.grant),
                Cell::new(&row.phase).fg(color).add_attribute(Attribute::Bold),
                Cell::new(&row.rancher),
                Cell::new(&row.left),
            ]);
        }
        let text = table.to_string();
        println!("{text}");
        self.drawn = text.lines().count();
        let _ = stdout().flush();
    }
}
