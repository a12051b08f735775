// SPDX-License-Identifier: MIT OR Apache-2.0

//! Compiles the rival in C, on the architecture that it is written for.

fn main() {
    println!("cargo::rerun-if-changed=src/rseq.c");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        cc::Build::new()
            .opt_level(3)
            .file("src/rseq.c")
            .compile("rseq");
    }
}
