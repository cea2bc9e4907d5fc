//! Files and predictions as the command gives them.

use std::path::{Path, PathBuf};

use super::*;

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn what_is_wrong_in_a_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let says = |text: &str| {
        let path = file(&dir, "a.csv", text);
        files::measurements(&path).unwrap_err().to_string()
    };
    for bad in ["0", "-1", "inf", "NaN", "x", ""] {
        let text = says(&format!("class,column,value\na,p,1\nb,p,{bad}\n"));
        assert!(text.contains("a.csv:3: column 3 (`value`)"), "{text}");
    }
    assert!(says("class,value\na,1\n").contains("no column `column`"));
    assert!(says("class,column,value\na,p\n").contains("a.csv:2"));
    assert!(says("class,column,value\n").contains("no line"));
    assert!(says("class,column,value,weight\na,p,1,0\n").contains("`weight`"));
    let missing = files::questions(&dir.path().join("none.csv")).unwrap_err();
    assert!(missing.to_string().contains("none.csv"));
}

#[test]
fn columns_are_found_by_name_and_features_in_both_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "a.csv", "\u{feff}value, column,class,note\n2,p,a,x\n");
    let read = files::measurements(&path).unwrap();
    assert_eq!(
        (read[0].class.as_str(), read[0].value, read[0].weight),
        ("a", 2.0, 1.0)
    );
    let wide = file(&dir, "w.csv", "class,cpu,mem\na,1,\nb,2,3\n");
    let long = file(
        &dir,
        "l.csv",
        "class,feature,value\na,cpu,1\nb,cpu,2\nb,mem,3\n",
    );
    let (wide, long) = (
        files::features(&wide).unwrap(),
        files::features(&long).unwrap(),
    );
    assert_eq!(wide["b"], long["b"]);
    assert!(wide["a"][1].is_nan() && long["a"][1].is_nan());
}

#[test]
fn duplicates_are_averaged_and_the_order_of_lines_does_not_count() {
    let measured = |class: &str, column: &str, value: f64| files::Measured {
        class: class.to_owned(),
        column: column.to_owned(),
        value,
        weight: 1.0,
    };
    let mut all = vec![measured("new", "p0", 4.0), measured("new", "p0", 9.0)];
    for row in 0..12_i32 {
        for column in 0..5_i32 {
            let value = f64::from(1 + row) * f64::from(1 + column + (row * column) % 3);
            all.push(measured(&format!("c{row}"), &format!("p{column}"), value));
        }
    }
    let ask = |class: &str, column: &str| (class.to_owned(), column.to_owned());
    let asked = [
        ask("new", "p0"),
        ask("new", "p3"),
        ask("c3", "px"),
        ask("nobody", "p1"),
    ];
    let one = predict::predict(&all, &asked, &Default::default());
    assert!((one[0].prediction - 6.0).abs() < 1e-9, "{one:?}");
    assert_eq!(
        (one[0].origin, one[1].origin, one[3].origin),
        ("own", "class", "population")
    );
    for told in &one {
        assert!(
            told.low < told.prediction && told.prediction < told.high,
            "{told:?}"
        );
    }
    all.reverse();
    assert_eq!(predict::predict(&all, &asked, &Default::default()), one);
    // A rate is the inverse of a time, and so is its prediction.
    all.iter_mut().for_each(|m| m.value = 1.0 / m.value);
    let rates = predict::predict(&all, &asked, &Default::default());
    for (time, rate) in one.iter().zip(&rates) {
        assert!((time.prediction * rate.prediction - 1.0).abs() < 1e-6);
    }
}

#[test]
fn the_report_is_kept_up_with_where_its_data_are() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = std::env::var_os("STARLING_DATA").map_or(dir, PathBuf::from);
    if !dir.is_dir() {
        println!("skipped: there is no ../shared/data beside the repository");
        return;
    }
    let report = eval::run(&dir, 1, Some("miso"), &|_| {}).unwrap();
    let of = |model: &str| {
        let row = report
            .rows
            .iter()
            .find(|r| r.model == model && r.setting == "k=2");
        row.unwrap().figures.median
    };
    assert!(of("learned") < of("additive"), "{}", report.tables());
}
