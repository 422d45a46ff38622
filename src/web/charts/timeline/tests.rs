//! What is drawn of which run.

use super::*;
use crate::record::{GpuSample, Sample, ServerSample};
use crate::web::charts::fixture::{result, series};

fn sample(offset: f64, cpu_percent: f64) -> Sample {
    Sample {
        offset,
        cpu_percent,
        core_percent: vec![cpu_percent],
        memory_percent: 50.0,
        ..Sample::default()
    }
}

fn machine(items: Vec<Sample>) -> Machine {
    Machine {
        name: "this machine".into(),
        items,
    }
}

fn whole(series: &[Series], machines: &[Machine]) -> Option<Timeline> {
    timeline(series, machines, &[], View::default())
}

fn rate(row: &Row) -> f64 {
    row.cells[0].parse().unwrap_or_default()
}

#[test]
fn every_chunk_is_counted_in_its_bin() {
    let results = [result(0.1, &[0.1, 0.12, 0.2]), result(1.0, &[0.5, 1.0])];
    let here = machine(vec![
        sample(-0.2, 1.0),
        sample(0.25, 40.0),
        sample(0.27, 60.0),
    ]);
    let drawing = whole(&series(&results), &[here]).unwrap();
    let chunks: f64 = drawing.rows.iter().map(|row| rate(row) * drawing.bin).sum();
    assert!((chunks - 5.0).abs() < 1e-9);
    assert_eq!(drawing.columns[1], "CPU, %");
    let with_cpu: Vec<&str> = drawing
        .rows
        .iter()
        .map(|row| row.cells[1].as_str())
        .filter(|cell| *cell != "–")
        .collect();
    assert_eq!(with_cpu, ["50.0"]);
    let titles: Vec<&str> = drawing.panels.iter().map(|it| it.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Chunks a second",
            "Longest gap between chunks",
            "CPU in use, %",
            "Memory in use, %"
        ]
    );
    assert_eq!(drawing.sends.len(), 2);
}

#[test]
fn every_figure_that_moves_has_a_panel() {
    let full = |offset: f64| Sample {
        frequency_max_mhz: Some(3000.0 + offset * 400.0),
        frequency_mean_mhz: Some(2500.0),
        cpu_temperature_celsius: Some(60.0),
        other_cpu_percent: Some(3.0),
        pressure: Some(crate::record::Pressure {
            cpu_percent: Some(12.0),
            ..Default::default()
        }),
        servers: vec![ServerSample {
            cpu_percent: Some(40.0),
            memory_bytes: Some(if offset < 1.0 {
                400_000_000
            } else {
                200_000_000
            }),
            ..ServerSample::default()
        }],
        gpus: vec![GpuSample {
            utilization_percent: Some(90.0),
            power_watts: Some(120.0),
            temperature_celsius: Some(70.0),
            clock_mhz: Some(2000.0 + offset * 300.0),
            ..GpuSample::default()
        }],
        ..sample(offset, 50.0)
    };
    let here = machine((0..8).map(|n| full(f64::from(n) * 0.25)).collect());
    let there = Machine {
        name: "gpu-box".into(),
        items: vec![sample(0.1, 5.0), sample(0.6, 5.0)],
    };
    let results = [result(0.0, &[0.1, 0.5, 1.0, 1.9])];
    let drawing = whole(&series(&results), &[here, there]).unwrap();
    let titles: Vec<&str> = drawing.panels.iter().map(|it| it.title.as_str()).collect();
    insta::assert_snapshot!(titles.join("\n"), @r"
    Chunks a second
    Longest gap between chunks
    this machine: CPU in use, %
    this machine: Work that waited, % of the time
    this machine: Memory in use, %
    this machine: Model server in memory, MB
    this machine: CPU clock, MHz
    this machine: GPU in use, %
    this machine: GPU power, W
    this machine: GPU clock, MHz
    this machine: Temperature, °C
    gpu-box: CPU in use, %
    gpu-box: Memory in use, %
    ");
    let labels = |panel: usize| -> Vec<&str> {
        let lines = drawing.panels[panel].lines.iter();
        lines.map(|it| it.label.as_str()).collect()
    };
    assert_eq!(labels(2), ["all", "model server", "other programs"]);
    assert_eq!(drawing.columns.len(), drawing.rows[0].cells.len());
}

#[test]
fn a_part_of_the_run_is_drawn_larger() {
    let offsets: Vec<f64> = (1..=1000).map(|n| f64::from(n) * 0.02).collect();
    let results = [result(0.0, &offsets)];
    let series = series(&results);
    let part = |from: f64, to: f64| {
        let view = View {
            from: Some(from),
            to: Some(to),
        };
        timeline(&series, &[], &[], view).unwrap()
    };
    let drawing = part(5.0, 7.0);
    assert!(drawing.is_part && drawing.from <= 5.0 && drawing.to >= 7.0);
    assert!(
        drawing.to - drawing.from < 2.5,
        "{} {}",
        drawing.from,
        drawing.to
    );
    // What makes no sense shows all.
    for (from, to) in [
        (7.0, 5.0),
        (f64::NAN, f64::INFINITY),
        (500.0, 600.0),
        (-5.0, 900.0),
    ] {
        let drawing = part(from, to);
        assert!(
            drawing.from.abs() < 1e-9 && drawing.to >= 20.0,
            "{from} {to}"
        );
    }
}

#[test]
fn stalls_are_marked_where_they_are() {
    let stall = Stall {
        label: "a".into(),
        index: 0,
        repetition: 1,
        warmup: false,
        from: 1.0,
        to: 1.5,
        usual: 0.01,
        is_end: false,
        causes: vec!["the model server was stopped".into()],
        movements: Vec::new(),
    };
    let results = [result(0.0, &[0.5, 1.0, 1.5, 2.0])];
    let series = series(&results);
    let drawing = timeline(&series, &[], std::slice::from_ref(&stall), View::default()).unwrap();
    let band = &drawing.stalls[0];
    assert_eq!(
        (band.number, band.words.as_str()),
        (
            1,
            "500\u{a0}ms without a chunk: the model server was stopped"
        )
    );
    let at = |x: f64| drawing.from + (x - LEFT) / (RIGHT - LEFT) * (drawing.to - drawing.from);
    assert!((at(band.x) - 1.0).abs() < 0.01 && (at(band.x + band.width) - 1.5).abs() < 0.01);
    let elsewhere = View {
        from: Some(0.0),
        to: Some(0.8),
    };
    let drawing = timeline(&series, &[], &[stall], elsewhere).unwrap();
    assert_eq!(drawing.stalls, []);
}

#[test]
fn silence_at_the_end_is_drawn() {
    let mut stalled = result(0.0, &[0.1, 0.2]);
    stalled.timing.total_time = Some(3.0);
    stalled.success = false;
    let results = [stalled, result(3.0, &[0.1])];
    let drawing = whole(&series(&results), &[]).unwrap();
    let end = drawing.rows.len() as f64 * drawing.bin;
    assert!((3.1..3.5).contains(&end), "{end}");
    assert!(drawing.sends[1].x < drawing.right);
}

#[test]
fn a_steady_model_is_level() {
    let offsets: Vec<f64> = (1..=100).map(|n| f64::from(n) * 0.06).collect();
    let drawing = whole(&series(&[result(0.0, &offsets)]), &[]).unwrap();
    let rates: Vec<f64> = drawing.rows.iter().map(rate).collect();
    let within = &rates[1..rates.len() - 1];
    let (low, high) = within
        .iter()
        .fold((f64::MAX, 0.0_f64), |(low, high), rate| {
            (low.min(*rate), high.max(*rate))
        });
    assert!(high < low * 1.5, "{rates:?}");
}

#[test]
fn silence_has_no_line() {
    let x = Scale::new(0.0, 5.0, 0.0, 50.0);
    let y = Scale::new(0.0, 10.0, 100.0, 0.0);
    let d = bursts(&[0.0, 5.0, 0.0, 10.0, 5.0], 0.0, 1.0, x, y);
    assert_eq!(d, "M10 100H10V50H20V100M30 100H30V0H40V50H50V100");
}

#[test]
fn long_runs_have_few_bins() {
    let results: Vec<_> = (0..500)
        .map(|n| result(f64::from(n) * 20.0, &[0.5, 10.0]))
        .collect();
    let drawing = whole(&series(&results), &[]).unwrap();
    assert!(drawing.rows.len() <= 161, "{}", drawing.rows.len());
    assert_eq!(drawing.panels.len(), 2);
    assert!(drawing.sends.is_empty());
}

#[test]
fn nothing_is_drawn_of_nothing() {
    assert_eq!(whole(&[], &[]), None);
    assert_eq!(whole(&series(&[result(0.0, &[])]), &[]), None);
}
