//! `data.choices`: questions with answers to choose from, a JSON object a line, cut into tokens as EleutherAI's lm-evaluation-harness
//! cuts them (`lm_eval/api/model.py`, `_encode_pair`, and `lm_eval/models/huggingface.py`, `_loglikelihood_tokens`): question and answer are
//! encoded together, and the answer's tokens are those behind as many as the question has alone; what is too long loses its beginning.

use serde_json::{Map, Value};

use super::tokens::Tokens;
use crate::data::choices::{Choice, Question, Questions};

/// What stands between a question and its answer, where a line does not say.
const DELIMITER: &str = " ";
/// More answers to one question are no choice.
const MOST_CHOICES: usize = 1024;

/// How texts become tokens.
pub(super) struct Cutting<'a> {
    pub tokens: &'a Tokens,
    /// What texts begin with.
    pub bos: Option<u32>,
    /// Tokens that a model sees.
    pub context: usize,
}

/// The questions of a file. The error is a reason, with the number of the line.
pub(super) fn questions(text: &str, cutting: &Cutting) -> Result<Questions, String> {
    let lines = text.lines().enumerate();
    let asked = lines.filter(|(_, line)| !line.trim().is_empty());
    let read = asked.map(|(k, line)| {
        let of_line = |why: String| format!("line {}: {why}", k + 1);
        question(line, cutting).map_err(of_line)
    });
    let questions: Vec<Question> = read.collect::<Result<_, String>>()?;
    match questions.is_empty() {
        true => Err("it has no question".to_owned()),
        false => Ok(Questions { questions }),
    }
}

fn question(line: &str, cutting: &Cutting) -> Result<Question, String> {
    let object: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| format!("no JSON object: {error}"))?;
    let text = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| object.get(*name)?.as_str());
        found.ok_or_else(|| format!("no text `{}` or `{}`", names[0], names[1]))
    };
    let context = text(["context", "query"])?;
    let delimiter = object
        .get("delimiter")
        .map_or(Some(DELIMITER), Value::as_str);
    let delimiter = delimiter.ok_or("`delimiter` is no text")?;
    let listed = object.get("choices").and_then(Value::as_array);
    let listed = listed.ok_or("no list `choices`")?;
    if !(2..=MOST_CHOICES).contains(&listed.len()) {
        return Err(format!(
            "{} choices; 2 to {MOST_CHOICES} are a question",
            listed.len()
        ));
    }
    let gold = ["gold", "label"].iter().find_map(|name| object.get(*name));
    let gold = gold.and_then(index).filter(|gold| *gold < listed.len());
    let gold = gold.ok_or("no `gold` or `label` that counts a choice from 0")?;
    let mut cut = false;
    let choices = listed.iter().map(|choice| {
        let choice = choice.as_str().ok_or("a choice is no text")?;
        let (found, shortened) = encoded(context, delimiter, choice, cutting)?;
        cut |= shortened;
        Ok(found)
    });
    let choices = choices.collect::<Result<Vec<Choice>, String>>()?;
    Ok(Question { choices, gold, cut })
}

/// A number, or a text that is one, as some data sets have it.
fn index(value: &Value) -> Option<usize> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    usize::try_from(number).ok()
}

/// Question and answer, and whether the beginning was cut off.
fn encoded(
    context: &str,
    delimiter: &str,
    choice: &str,
    cutting: &Cutting,
) -> Result<(Choice, bool), String> {
    // Blanks at the question's end belong to the answer's first token.
    let kept = context.trim_end();
    let answer = format!("{}{delimiter}{choice}", &context[kept.len()..]);
    let encode = |text: &str| -> Result<Vec<u32>, String> {
        let ids = cutting.tokens.encode(text.as_bytes())?;
        Ok(cutting.bos.into_iter().chain(ids).collect())
    };
    let question = encode(kept)?;
    if question.is_empty() {
        return Err("an empty context needs a token that texts begin with (data.bos)".to_owned());
    }
    let mut tokens = encode(&format!("{kept}{answer}"))?;
    let asked = tokens.len().saturating_sub(question.len());
    if asked == 0 {
        return Err(format!(
            "the choice {choice:?} adds no token to its context"
        ));
    }
    if asked > cutting.context {
        return Err(format!(
            "the choice {choice:?} has {asked} tokens, and the model sees {} (model.context)",
            cutting.context
        ));
    }
    let over = tokens.len().saturating_sub(cutting.context + 1);
    tokens.drain(..over);
    let characters = choice.chars().count();
    if characters == 0 {
        return Err("a choice is empty".to_owned());
    }
    let found = Choice {
        tokens,
        asked,
        characters,
    };
    Ok((found, over > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"context": "2 + 2 = ", "choices": ["4", "five", "ü"], "gold": 0}"#;

    fn cut(text: &str, context: usize, bos: Option<u32>) -> Result<Questions, String> {
        let tokens = &Tokens::Byte;
        let cutting = Cutting {
            tokens,
            bos,
            context,
        };
        questions(text, &cutting)
    }

    #[test]
    fn a_blank_before_the_answer_is_the_answers() {
        let found = cut(LINE, 64, None).unwrap();
        let question = &found.questions[0];
        let text = |choice: &Choice| {
            let bytes: Vec<u8> = choice.tokens.iter().map(|id| *id as u8).collect();
            String::from_utf8(bytes).unwrap()
        };
        let five = &question.choices[1];
        // The question's own blank, the one between, and the word.
        assert_eq!((text(five).as_str(), five.asked), ("2 + 2 =  five", 6));
        let last = &question.choices[2];
        assert_eq!((last.characters, last.asked), (1, 4));
        assert_eq!((question.gold, question.cut), (0, false));
        assert!((found.chance() - 1.0 / 3.0).abs() < 1e-12);
        // As other data sets have it.
        let other = r#"{"query": "2 + 2 = ", "choices": ["4", "five", "ü"], "label": "0"}"#;
        assert_eq!(cut(other, 64, None).unwrap(), found);
    }

    #[test]
    fn what_is_too_long_loses_its_beginning() {
        let found = cut(LINE, 8, Some(7)).unwrap();
        let question = &found.questions[0];
        assert!(question.cut);
        for choice in &question.choices {
            assert_eq!(choice.tokens.len(), 9);
        }
        let whole = cut(LINE, 64, Some(7)).unwrap();
        assert_eq!(whole.questions[0].choices[0].tokens[0], 7);
        assert!(
            cut(LINE, 5, None)
                .unwrap_err()
                .contains("has 6 tokens, and the model sees 5")
        );
    }

    #[test]
    fn a_line_that_is_no_question_is_named() {
        let rows = [
            ("", "no question"),
            ("\n{]", "line 2: no JSON object"),
            (
                r#"{"choices": ["a", "b"], "gold": 0}"#,
                "no text `context` or `query`",
            ),
            (
                r#"{"context": "a", "choices": ["a"], "gold": 0}"#,
                "1 choices",
            ),
            (
                r#"{"context": "a", "choices": ["a", "b"], "gold": 2}"#,
                "from 0",
            ),
            (
                r#"{"context": "a", "choices": ["a", 3], "gold": 0}"#,
                "no text",
            ),
            (
                r#"{"context": "a", "choices": ["a", ""], "gold": 0}"#,
                "empty",
            ),
            (
                r#"{"context": " ", "choices": ["a", "b"], "gold": 0}"#,
                "data.bos",
            ),
        ];
        for (text, said) in rows {
            let refused = cut(text, 64, None).unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
