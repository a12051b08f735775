// SPDX-License-Identifier: MIT OR Apache-2.0

//! Decides for which targets the rseq fast path is compiled: `cfg(fast_path)`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(fast_path)");
    if has_fast_path() {
        println!("cargo::rustc-cfg=fast_path");
    }
    // For the test of that, as code cannot ask for them.
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=CPU_OPV_TARGET={target}");
    let minor = rustc_minor().unwrap_or_default();
    println!("cargo::rustc-env=CPU_OPV_RUSTC_MINOR={minor}");
}

fn has_fast_path() -> bool {
    let cfg = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let feature = |name: &str| cfg("FEATURE").split(',').any(|feature| feature == name);
    // The sequences of `src/rseq/arm.rs` are A32 code. Stable compilers do not tell of this feature.
    let thumb = || {
        let target = env::var("TARGET").unwrap_or_default();
        let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
        target.starts_with("thumb") || feature("thumb-mode") || flags.contains("+thumb-mode")
    };
    // Miri has no assembly.
    if env::var_os("CARGO_CFG_MIRI").is_some() {
        return false;
    }
    // musl, which OpenHarmony has too, and Android's libc do not register threads, and do not load a library at run
    // time that does, for want of thread-local storage of the static kind. Whether this becomes one is not to be known
    // here, except for static programs; on Android, most do.
    let musl = matches!(cfg("ENV").as_str(), "musl" | "ohos");
    if cfg("OS") == "android" || musl && !is_static() {
        return false;
    }
    match (
        cfg("ARCH").as_str(),
        cfg("ENDIAN").as_str(),
        cfg("POINTER_WIDTH").as_str(),
    ) {
        ("x86_64" | "aarch64" | "riscv64", "little", "64") => true,
        // ARMv7 and later, which have the thread pointer in a register and `dmb`.
        ("arm", "little", "32") => {
            !thumb() && env::var("TARGET").is_ok_and(|target| target.starts_with("armv7"))
        }
        // Inline assembly for PowerPC is stable since then.
        ("powerpc64", "little", "64") => rustc_minor() >= Some(95),
        _ => false,
    }
}

/// Whether programs are static. Cargo's list of features does not tell: it asks the compiler about all kinds of crates
/// at once, and procedural macros never are.
fn is_static() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let target = env::var("TARGET").unwrap_or_default();
    let arguments = ["--print", "cfg", "--target", &target];
    let flags = flags.split('\x1f').filter(|flag| !flag.is_empty());
    rustc(arguments.into_iter().chain(flags)).is_some_and(|cfg| {
        cfg.lines()
            .any(|line| line == r#"target_feature="crt-static""#)
    })
}

/// The `x` of `rustc 1.x.y`.
fn rustc_minor() -> Option<u32> {
    let version = rustc(["--version"])?;
    version.split('.').nth(1)?.parse().ok()
}

/// What the compiler says to this.
fn rustc<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let rustc = env::var_os("RUSTC")?;
    let output = Command::new(rustc).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()
}
