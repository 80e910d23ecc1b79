//! `effbench report` from outside: three media with the same findings, names that are attacks, a real browser, and its speed.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const GOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");

fn report(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effbench"))
        .arg("report")
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The report of a result file as the text of a file with this ending.
fn rendered(result: &Path, ending: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join(format!("report.{ending}"));
    let output = report(&[result.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr)
        ),
        (Some(0), String::new(), String::new())
    );
    fs::read_to_string(out).unwrap()
}

/// A copy of the good file, changed.
fn changed(folder: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut file: Value = serde_json::from_str(&fs::read_to_string(GOOD).unwrap()).unwrap();
    change(&mut file);
    let path = folder.join("changed.json");
    fs::write(&path, file.to_string()).unwrap();
    path
}

#[test]
fn the_terminal_and_markdown_say_the_same() {
    let output = report(&[GOOD, "--full"]);
    let shown = text(&output.stdout);
    let brief = text(&report(&[GOOD]).stdout);
    let left = "Left out here: 8 plots and 6 tables. `--full` prints all of it";
    assert!(brief.contains(left), "{brief}");
    assert!(brief.lines().count() * 2 < shown.lines().count());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/");
    let markdown = rendered(Path::new(GOOD), "md");
    // Mend with `MEND_GOLDEN=1 cargo test --test report`, and read what changed.
    if env::var_os("MEND_GOLDEN").is_some() {
        fs::write(format!("{path}report.txt"), &shown).unwrap();
        fs::write(format!("{path}report.md"), &markdown).unwrap();
    }
    assert_eq!(
        shown,
        fs::read_to_string(format!("{path}report.txt")).unwrap()
    );
    assert_eq!(
        markdown,
        fs::read_to_string(format!("{path}report.md")).unwrap()
    );
    let answer = "modern is worth 3.0 times gpt2’s compute at 31 k parameters";
    for medium in [&shown, &markdown, &rendered(Path::new(GOOD), "html")] {
        assert!(medium.contains(answer), "{medium}");
    }
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    let page = rendered(Path::new(GOOD), "html");
    for foreign in [
        "http:",
        "https:",
        "src=",
        "<script",
        "@import",
        "<link",
        "<iframe",
        "onload",
        "javascript:",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(
        page.matches("url(").count(),
        page.matches("url(#hatch-").count()
    );
    assert_eq!(
        page,
        rendered(Path::new(GOOD), "html"),
        "the same files make the same page"
    );
    for promise in [
        "default-src 'none'",
        "prefers-color-scheme: dark",
        "max-width: 40rem",
        "@media print",
        "viewport",
    ] {
        assert!(page.contains(promise), "{promise}");
    }
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    for link in page
        .split("href=\"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(ids.contains(&link), "{link} leads nowhere");
    }
}

/// A result file may come from anyone.
#[test]
fn hostile_names_stay_names() {
    let attack =
        "</style><script>alert(1)</script><img src=x onerror=alert(2)>'\"&|$\\frac{1}{2}$`";
    let folder = tempfile::tempdir().unwrap();
    let path = changed(folder.path(), |file| {
        file["run"]["suite"] = attack.into();
        file["run"]["command"] = format!("{attack}\u{1b}[31m").into();
        file["run"]["data"] = format!("{attack}\u{1b}[31m").into();
        file["run"]["base"] = attack.into();
        file["machines"][0]["cpu"]["model"] = attack.into();
        for trial in file["trials"].as_array_mut().unwrap() {
            if trial["variant"] == "gpt2" {
                trial["variant"] = attack.into();
                trial["cell"] = format!("{attack}@{}", trial["budget"]).into();
                trial["arm"] = trial["cell"].clone();
            }
            trial["skills"][0]["label"] = attack.into();
        }
    });
    let page = rendered(&path, "html");
    assert!(
        !page.contains("<script")
            && !page.contains("<img")
            && page.matches("</style>").count() == 1
    );
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(
        page.contains("$\\frac{1}{2}$"),
        "no mathematics is made of a name"
    );
    let markdown = rendered(&path, "md");
    // Between fences, where the plots are, nothing is markup.
    for text in markdown.split("~~~~~~~~~~").step_by(2) {
        assert!(
            !text.contains("<script") && !text.contains("<img"),
            "{text}"
        );
    }
    let shown = text(&report(&[path.to_str().unwrap()]).stdout);
    assert!(shown.contains("alert(1)") && !shown.contains('\u{1b}'));
}

#[test]
fn what_cannot_be_reported_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("report.html").join("report.html");
    fs::write(folder.path().join("report.html"), "").unwrap();
    let rows: [(&[&str], &str); 4] = [
        (&[GOOD, "--out", "report.pdf"], "write the plot as .svg"),
        (
            &[GOOD, "--out", "report"],
            "name it .html, .md, .json, .csv, .svg or .txt",
        ),
        (&["no-such.json"], "no-such.json: cannot be read"),
        (
            &[GOOD, "--out", into.to_str().unwrap()],
            "cannot be written",
        ),
    ];
    for (args, says) in rows {
        let output = report(args);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{args:?}"
        );
        assert!(
            text(&output.stderr).contains(says),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_report_has_the_title_it_is_given() {
    let output = report(&[GOOD, "--title", "Muon or more steps?"]);
    assert!(text(&output.stdout).starts_with("Muon or more steps?\n"));
}

/// Many trials on one machine: what a ladder of a hundred cells with fifty repeats leaves.
#[test]
fn five_thousand_trials_make_a_page_of_a_size_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed(folder.path(), |file| {
        let few = file["trials"].as_array().unwrap().clone();
        let many = (0..250_u64)
            .flat_map(|copy| few.iter().map(move |trial| (copy, trial)))
            .map(|(copy, trial)| {
                let mut trial = trial.clone();
                let own = 1000 * copy + trial["repeat"].as_u64().unwrap();
                trial["id"] = format!("{}-{copy}", trial["id"].as_str().unwrap()).into();
                trial["repeat"] = own.into();
                trial["order"] = (own * 100 + trial["order"].as_u64().unwrap()).into();
                trial
            });
        file["trials"] = many.collect();
    });
    let page = rendered(&path, "html");
    assert!(
        page.contains("5000, all finished"),
        "every trial is counted"
    );
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}

/// What a browser did with a page: its console's lines, and the addresses it asked for besides its own maker's.
fn browsed(chromium: &Path, page: &Path) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("net.json");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(
        text(&output.stdout).contains("</html>"),
        "the browser did not show the page"
    );
    let console = text(&output.stderr)
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .map(str::to_owned)
        .collect();
    let log = fs::read_to_string(log).unwrap();
    let urls = log
        .split("\"url\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned);
    let own = |url: &str| {
        ["google.com/", "googleapis.com/", "gstatic.com/"]
            .iter()
            .any(|host| url.contains(host))
    };
    (
        console,
        urls.filter(|url| !url.starts_with("file:") && !own(url))
            .collect(),
    )
}

fn chromium() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

#[test]
fn a_browser_shows_it_without_a_complaint_or_a_request() {
    let Some(chromium) = chromium() else {
        // Past the test harness, which would keep a passing test's words to itself.
        let _ = writeln!(
            io::stderr(),
            "skipped: no chromium on the PATH, so no browser has looked at the report"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let whole = rendered(Path::new(GOOD), "html");
    fs::write(&page, &whole).unwrap();
    assert_eq!(browsed(&chromium, &page), (Vec::new(), Vec::new()));

    // The same eyes on a page that does both: otherwise the silence above would say nothing.
    let policy = whole.find("<meta http-equiv").unwrap();
    let end = policy + whole[policy..].find('>').unwrap() + 1;
    let open = format!("{}{}", &whole[..policy], &whole[end..]);
    let bad = "<script>console.log('seen')</script><img src=\"http://127.0.0.1:9/x.png\"></main>";
    fs::write(&page, open.replace("</main>", bad)).unwrap();
    let (console, urls) = browsed(&chromium, &page);
    assert!(
        console.iter().any(|line| line.contains("seen")),
        "{console:?}"
    );
    assert!(
        urls.iter().any(|url| url.contains("127.0.0.1:9")),
        "{urls:?}"
    );
}
