//! Compression as ScyllaDB has it: the class is named `sstable_compression`, unknown options are refused, chunks are at most
//! 128 KiB. `compression_parameters` in its `compress.cc`.

use super::compaction::short_class;
use super::render::text_literal;
use std::collections::BTreeMap;

const MAX_CHUNK_KIB: u32 = 128;

/// The options that `ScyllaDB` takes, and what was changed.
pub(super) fn translate(options: &BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut notes = Vec::new();
    let mut new = BTreeMap::new();
    let named = options.get("class").or_else(|| options.get("sstable_compression")).map(|class| short_class(class));
    let is_off = options.get("enabled").is_some_and(|enabled| enabled == "false");
    let class = match named {
        None | Some("" | "NoopCompressor") => "",
        Some(_) if is_off => "",
        Some(
            class @ ("LZ4Compressor"
            | "SnappyCompressor"
            | "DeflateCompressor"
            | "ZstdCompressor"
            | "LZ4WithDictsCompressor"
            | "ZstdWithDictsCompressor"),
        ) => class,
        Some(class) => {
            notes.push(format!("compression: ScyllaDB has no {class}; LZ4Compressor is the default"));
            "LZ4Compressor"
        }
    };
    new.insert("sstable_compression".to_owned(), class.to_owned());
    if class.is_empty() {
        return (new, notes);
    }
    for (name, value) in options {
        match name.as_str() {
            "class" | "sstable_compression" | "enabled" => {}
            "chunk_length_in_kb" | "chunk_length_kb" => {
                let too_long = value.parse().is_ok_and(|kib: u32| kib > MAX_CHUNK_KIB);
                if too_long {
                    notes.push(format!("compression: chunks of {value} KiB; ScyllaDB has at most {MAX_CHUNK_KIB}"));
                }
                let value = if too_long { MAX_CHUNK_KIB.to_string() } else { value.clone() };
                new.insert("chunk_length_in_kb".to_owned(), value);
            }
            "crc_check_chance" => {
                new.insert(name.clone(), value.clone());
            }
            "compression_level" if class.starts_with("Zstd") => {
                new.insert(name.clone(), value.clone());
            }
            _ => notes.push(format!(
                "compression: left out, ScyllaDB's {class} has no such option: {name} = {}",
                text_literal(value)
            )),
        }
    }
    (new, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
            let (options, notes) = translate(&pairs.collect());
            format!("{options:?} {notes:?}")
        };
        let all = [
            of(&[
                ("class", "org.apache.cassandra.io.compress.LZ4Compressor"),
                ("chunk_length_in_kb", "16"),
                ("lz4_compressor_type", "high"),
            ]),
            of(&[("sstable_compression", "SnappyCompressor"), ("chunk_length_kb", "64"), ("crc_check_chance", "0.5")]),
            of(&[
                ("class", "ZstdCompressor"),
                ("compression_level", "3"),
                ("chunk_length_in_kb", "256"),
                ("min_compress_ratio", "2"),
            ]),
            of(&[("class", "DeflateCompressor"), ("compression_level", "3")]),
            of(&[("class", "com.example.Brotli"), ("chunk_length_in_kb", "16")]),
            of(&[("class", "NoopCompressor"), ("chunk_length_in_kb", "16")]),
            of(&[("enabled", "false")]),
            of(&[("class", "LZ4Compressor"), ("enabled", "false")]),
            of(&[]),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        {"chunk_length_in_kb": "16", "sstable_compression": "LZ4Compressor"} ["compression: left out, ScyllaDB's LZ4Compressor has no such option: lz4_compressor_type = 'high'"]
        {"chunk_length_in_kb": "64", "crc_check_chance": "0.5", "sstable_compression": "SnappyCompressor"} []
        {"chunk_length_in_kb": "128", "compression_level": "3", "sstable_compression": "ZstdCompressor"} ["compression: chunks of 256 KiB; ScyllaDB has at most 128", "compression: left out, ScyllaDB's ZstdCompressor has no such option: min_compress_ratio = '2'"]
        {"sstable_compression": "DeflateCompressor"} ["compression: left out, ScyllaDB's DeflateCompressor has no such option: compression_level = '3'"]
        {"chunk_length_in_kb": "16", "sstable_compression": "LZ4Compressor"} ["compression: ScyllaDB has no Brotli; LZ4Compressor is the default"]
        {"sstable_compression": ""} []
        {"sstable_compression": ""} []
        {"sstable_compression": ""} []
        {"sstable_compression": ""} []
        "#);
    }
}
