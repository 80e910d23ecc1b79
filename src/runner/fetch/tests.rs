//! Every fate of a transfer, against a server of this test's own on the loopback interface.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::*;

/// How the server treats one request.
#[derive(Clone, Copy)]
enum Answer {
    /// The whole file or the range asked for.
    Ranges,
    /// The whole file whatever was asked.
    NoRanges,
    /// As `Ranges`, but the connection breaks after so many bytes.
    CutAfter(usize),
    /// A range that was not asked for.
    WrongRange,
    Status(&'static str),
}

/// Serves `body`, one connection an answer, and tells the byte from which each request wanted it.
fn serve(body: Vec<u8>, answers: Vec<Answer>) -> (String, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let (told, asked) = channel();
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let from = wanted_from(&stream);
            told.send(from).unwrap();
            reply(stream, &body, from, answer);
        }
    });
    (url, asked)
}

fn wanted_from(stream: &TcpStream) -> usize {
    let lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map(io::Result::unwrap);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let range = head.iter().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("range: bytes=")
            .map(str::to_owned)
    });
    range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
}

fn reply(mut stream: TcpStream, body: &[u8], from: usize, answer: Answer) {
    let (from, keep) = match answer {
        Answer::NoRanges => (0, body.len()),
        Answer::WrongRange => (from + 1, body.len()),
        Answer::CutAfter(n) => (from, from + n),
        _ => (from, body.len()),
    };
    let status = match answer {
        Answer::Status(status) => status.to_owned(),
        _ if from == 0 => "200 OK".to_owned(),
        _ => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
            body.len() - 1,
            body.len()
        ),
    };
    let sent = if matches!(answer, Answer::Status(_)) {
        &[]
    } else {
        &body[from..]
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        sent.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The client may have hung up, which is what some tests are about.
    let _ = stream.write_all(&sent[..sent.len().min(keep - from)]);
}

fn content(bytes: &[u8]) -> Content {
    let sha256 = format!("{:x}", Sha256::digest(bytes));
    Content {
        bytes: bytes.len() as u64,
        sha256: Box::leak(sha256.into_boxed_str()),
    }
}

fn corpus_of(text: &[u8], download: &[u8], packing: Packing) -> Corpus {
    let (download, text) = (content(download), content(text));
    Corpus {
        download,
        packing,
        text,
        urls: &[],
        file: "text.txt",
        ..crate::data::corpus::CORPORA[0]
    }
}

fn text() -> Vec<u8> {
    (0..300_000_u32)
        .map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// An archive with one deflated member.
fn zip(name: &str, text: &[u8]) -> Vec<u8> {
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(text).unwrap();
    let mut archive = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    archive.extend([0; 16]);
    archive.extend((name.len() as u16).to_le_bytes());
    archive.extend([0, 0]);
    archive.extend(name.as_bytes());
    archive.extend(deflated.finish().unwrap());
    archive.extend(b"PK\x01\x02 the central directory, which nobody reads");
    archive
}

fn quiet(_: u64, _: u64) {}

#[test]
fn a_transfer_ends_whole_whatever_the_server_does() {
    type Row<'a> = (&'a str, usize, &'a [Answer], &'a [usize]);
    let whole = text().len();
    let rows: [Row; 5] = [
        ("whole", 0, &[Answer::Ranges], &[0]),
        ("resumed", 1000, &[Answer::Ranges], &[1000]),
        (
            "a server without ranges",
            1000,
            &[Answer::NoRanges],
            &[1000],
        ),
        (
            "cut twice",
            0,
            &[
                Answer::CutAfter(70_000),
                Answer::CutAfter(10),
                Answer::Ranges,
            ],
            &[0, 70_000, 70_010],
        ),
        ("all there and not unpacked", whole, &[], &[]),
    ];
    for (what, there, answers, expected) in rows {
        let folder = tempfile::tempdir().unwrap();
        let corpus = corpus_of(&text(), &text(), Packing::Plain);
        fs::write(folder.path().join("text.txt.part"), &text()[..there]).unwrap();
        let (url, asked) = serve(text(), answers.to_vec());
        let mut seen = 0;
        let fetched = fetch(&corpus, folder.path(), Some(&url), &mut |done, all| {
            assert_eq!(all, whole as u64);
            seen = done;
        });
        let path = folder.path().join("text.txt");
        assert_eq!(
            fetched.unwrap(),
            Fetched {
                path: path.clone(),
                already: false
            },
            "{what}"
        );
        assert_eq!(fs::read(&path).unwrap(), text(), "{what}");
        assert_eq!(asked.iter().collect::<Vec<_>>(), expected, "{what}");
        assert!(answers.is_empty() || seen == whole as u64, "{what}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "{what}: something is left"
        );
        assert!(
            fetch(
                &corpus,
                folder.path(),
                Some("http://127.0.0.1:1/"),
                &mut quiet
            )
            .unwrap()
            .already,
            "{what}"
        );
    }
}

#[test]
fn an_archive_is_unpacked_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let archive = zip("text", &text());
    let corpus = corpus_of(&text(), &archive, Packing::Zip);
    let (url, _asked) = serve(archive, vec![Answer::Ranges]);
    let fetched = fetch(&corpus, folder.path(), Some(&url), &mut quiet).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), text());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let bad: [(Vec<u8>, &str); 4] = [
        (b"PK\x03\x04".to_vec(), "too short for a ZIP archive"),
        (vec![b'x'; 100], "not a ZIP archive"),
        (zip("text", b"another text"), "12 bytes, expected 300000"),
        (zip("text", &text())[..2000].to_vec(), "damaged"),
    ];
    for (archive, says) in bad {
        let folder = tempfile::tempdir().unwrap();
        let corpus = corpus_of(&text(), &archive, Packing::Zip);
        let (url, _asked) = serve(archive, vec![Answer::Ranges]);
        let error = fetch(&corpus, folder.path(), Some(&url), &mut quiet).unwrap_err();
        assert!(error.message.contains(says), "{error}");
        let left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["text.txt.part"], "{says}");
    }
}

#[test]
fn what_fails_says_what_to_do_and_what_stays() {
    let mut other = text();
    other[77] ^= 1;
    let mut longer = text();
    longer.push(0);
    type Row<'a> = (Vec<u8>, &'a [Answer], &'a str, &'a str, Option<usize>);
    let all = text().len();
    let rows: [Row; 6] = [
        (
            other,
            &[Answer::Ranges],
            "SHA-256",
            "delete it and get it again",
            Some(all),
        ),
        (
            longer,
            &[Answer::NoRanges],
            "300001 bytes, expected 300000",
            "delete it and get it again",
            Some(all + 1),
        ),
        (
            text(),
            &[Answer::Status("404 Not Found")],
            "HTTP status 404",
            "--from URL",
            None,
        ),
        (
            text(),
            &[Answer::Status("500 Oops")],
            "HTTP status 500",
            "--from URL",
            None,
        ),
        (
            text(),
            &[Answer::CutAfter(5000), Answer::Status("503 Busy")],
            "503",
            "continues: 5000 of 300000",
            Some(5000),
        ),
        (
            text(),
            &[Answer::CutAfter(5000), Answer::WrongRange],
            "offered `bytes 5001-",
            "5000 of",
            Some(5000),
        ),
    ];
    for (body, answers, says, hint, stays) in rows {
        let folder = tempfile::tempdir().unwrap();
        let corpus = corpus_of(&text(), &text(), Packing::Plain);
        let (url, _asked) = serve(body, answers.to_vec());
        let error = fetch(&corpus, folder.path(), Some(&url), &mut quiet).unwrap_err();
        assert!(error.message.contains(says), "{says}: {error}");
        assert!(
            error.hint.clone().unwrap_or_default().contains(hint),
            "{says}: {error}"
        );
        let part = fs::read(folder.path().join("text.txt.part"))
            .ok()
            .map(|bytes| bytes.len());
        assert_eq!(part, stays, "{says}");
        assert!(!folder.path().join("text.txt").exists(), "{says}");
    }
}

#[test]
fn without_a_network_the_next_address_is_tried_and_all_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody: &'static str = Box::leak(format!("http://{closed}/file").into_boxed_str());
    let mut corpus = corpus_of(&text(), &text(), Packing::Plain);
    corpus.urls = Box::leak(Box::new([nobody, "http://no-such-host.invalid/file"]));
    let error = fetch(&corpus, folder.path(), None, &mut quiet).unwrap_err();
    assert!(
        error.message.contains(nobody) && error.message.contains("no-such-host.invalid"),
        "{error}"
    );
    assert!(error.hint.unwrap().starts_with("no network here?"));
    let (url, _asked) = serve(text(), vec![Answer::Ranges]);
    corpus.urls = Box::leak(Box::new([nobody, &*Box::leak(url.into_boxed_str())]));
    assert!(
        !fetch(&corpus, folder.path(), None, &mut quiet)
            .unwrap()
            .already
    );
}

#[test]
fn another_file_in_its_place_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    fs::write(&path, "mine").unwrap();
    let error = fetch(
        &corpus_of(&text(), &text(), Packing::Plain),
        folder.path(),
        None,
        &mut quiet,
    )
    .unwrap_err();
    assert!(
        error
            .message
            .ends_with("not the file that was asked for: 4 bytes, expected 300000"),
        "{error}"
    );
    assert!(
        error
            .hint
            .unwrap()
            .starts_with("delete it, or choose another folder")
    );
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}
