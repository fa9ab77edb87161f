//! Start other programs and show that something is going on.

use std::{
    io::IsTerminal,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How often a log (not a terminal, where cargo draws its own bar) gets a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(45);
/// How long tests that are built may run. They take a tenth of it; one that hangs must not cost
/// the whole run its result.
const TESTS_MAX: Duration = Duration::from_secs(20 * 60);
/// How `timeout` of coreutils ends if it had to end the program.
const TIMED_OUT: i32 = 124;

/// Run a program to its end with its output going where ours goes, and no input.
///
/// # Errors
/// If it cannot be started or ends with anything but success.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    check(run_shown(command, what)?, what)
}

/// As [`run`], for tests that are built already. On a terminal they run until Ctrl-C; elsewhere
/// they and what they started are ended after 20 minutes.
///
/// # Errors
/// As [`run`], and if they did not end by themselves.
pub fn run_tests(command: &mut Command, what: &str) -> Result<()> {
    if std::io::stdout().is_terminal() || output_of("timeout", &["--version"]).is_none() {
        return run(command, what);
    }
    let status = run_shown(&mut limited(command, TESTS_MAX), what)?;
    if status.code() == Some(TIMED_OUT) {
        let max = human(TESTS_MAX);
        bail!("{what}: not done after {max}; see what \"has been running for over 60 seconds\"");
    }
    check(status, what)
}

/// The same program, ended with its children after a time.
fn limited(command: &Command, max: Duration) -> Command {
    let mut timeout = Command::new("timeout");
    timeout.arg("--kill-after=10").arg(max.as_secs().to_string());
    timeout.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timeout.env(name, value),
            None => timeout.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        timeout.current_dir(dir);
    }
    timeout
}

fn run_shown(command: &mut Command, what: &str) -> Result<ExitStatus> {
    let terminal = std::io::stdout().is_terminal();
    let every = if terminal { None } else { Some(SIGN_OF_LIFE) };
    run_watched(command, every, |elapsed| format!("{what}: {elapsed}"))
}

/// Run a program and print a line of news every so often.
///
/// # Errors
/// If it cannot be started. How it ended is for the caller to judge.
pub fn run_watched(
    command: &mut Command,
    every: Option<Duration>,
    news: impl Fn(String) -> String + Sync,
) -> Result<ExitStatus> {
    println!("$ {}", shown(command));
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {name}; is it installed?"))?;
    let started = Instant::now();
    let (ended, end) = mpsc::channel::<()>();
    let status = thread::scope(|scope| {
        if let Some(every) = every {
            let news = &news;
            scope.spawn(move || {
                while end.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    println!("  … {}", news(human(started.elapsed())));
                }
            });
        }
        let status = child.wait();
        drop(ended);
        status
    });
    status.with_context(|| format!("lost sight of {name}"))
}

/// The output of a program, if it is there and succeeds.
pub fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Success, or an error that says how the program ended.
///
/// # Errors
/// If it did not succeed.
pub fn check(status: ExitStatus, what: &str) -> Result<()> {
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// `1m 05s`.
pub fn human(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        _ => format!("{}m {:02}s", seconds / 60, seconds % 60),
    }
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(human(Duration::from_secs(59)), "59s");
        assert_eq!(human(Duration::from_secs(60)), "1m 00s");
        assert_eq!(human(Duration::from_secs(3725)), "62m 05s");
    }

    #[test]
    fn a_failing_program_is_named() {
        let error = run(&mut Command::new("false"), "the thing").unwrap_err();
        assert!(error.to_string().starts_with("the thing failed"), "{error}");
        let error = run(&mut Command::new("no-such-program-here"), "it").unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }

    #[test]
    fn what_does_not_end_is_ended() {
        let mut sleeping = Command::new("sleep");
        sleeping.arg("60");
        let status = run_shown(&mut limited(&sleeping, Duration::from_secs(1)), "it").unwrap();
        assert_eq!(status.code(), Some(TIMED_OUT));
    }

    #[test]
    fn output_of_what_is_not_there_is_none() {
        assert_eq!(output_of("no-such-program-here", &[]), None);
        assert_eq!(output_of("false", &[]), None);
        assert_eq!(output_of("echo", &["a"]).as_deref(), Some("a\n"));
    }
}
