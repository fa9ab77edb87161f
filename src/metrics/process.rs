//! What the operating system knows of this process, read from `/proc` when asked.

use std::fs;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// CPU time, memory, open files. Says nothing on systems without `/proc`.
#[derive(Debug)]
pub struct Process;

/// One look at the process.
struct Seen {
    cpu_seconds: f64,
    resident_bytes: f64,
    threads: i64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(seen) = look() {
            let cpu = ConstCounter::new(seen.cpu_seconds);
            let at = encoder.encode_descriptor(
                "process_cpu_seconds",
                "CPU time used",
                None,
                cpu.metric_type(),
            )?;
            cpu.encode(at)?;
            let memory = ConstGauge::new(seen.resident_bytes);
            let at = encoder.encode_descriptor(
                "process_resident_memory_bytes",
                "Memory in use",
                None,
                memory.metric_type(),
            )?;
            memory.encode(at)?;
            let threads = ConstGauge::new(seen.threads);
            let at = encoder.encode_descriptor(
                "process_threads",
                "Threads",
                None,
                threads.metric_type(),
            )?;
            threads.encode(at)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            let open = ConstGauge::new(i64::try_from(files.count()).unwrap_or(i64::MAX));
            let at = encoder.encode_descriptor(
                "process_open_fds",
                "Open files and sockets",
                None,
                open.metric_type(),
            )?;
            open.encode(at)?;
        }
        Ok(())
    }
}

fn look() -> Option<Seen> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in parentheses, which may hold spaces: count from its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // proc(5): field 14 utime, 15 stime, 20 num_threads, 24 rss; the first here is field 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u32>().ok();
    let ticks = f64::from(number(14)?) + f64::from(number(15)?);
    let page = f64::from(u32::try_from(rustix::param::page_size()).ok()?);
    let per_second = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).ok()?);
    Some(Seen {
        cpu_seconds: ticks / per_second,
        resident_bytes: f64::from(number(24)?) * page,
        threads: i64::from(number(20)?),
    })
}
