// SPDX-License-Identifier: GPL-2.0-only

//! What no safe code can do with the abstractions in rust/kernel/: ci/check/misuse has each case compiled, and be refused
//! for the reason that stands behind it. Without any, all of this is fine.

#![allow(dead_code)]

use core::ptr::NonNull;
use kernel::{
    alloc::VBox,
    cpu::CpuId,
    interrupt::local_interrupt_disable,
    mm::{
        user_page::{Access, Fault, Read, UserMemory, UserPage, UserWord, UserWords, Write},
        MmWithUser,
    },
    page::{AsPageIter, Page, RacyPage, RacySlice},
    prelude::*,
    smp,
    task::{CurrentTask, Task},
};

fn reads_and_writes(current: &CurrentTask) -> Result {
    let memory = UserMemory::of(current).ok_or(EFAULT)?;
    let read = memory.pin::<Read>(0, false, None)?;
    let mut write = memory.pin::<Write>(0, false, None)?;

    write.bytes_mut().copy_from(&read.bytes());
    write.mark_dirty();
    let irq = local_interrupt_disable();
    read.is_mapped(&irq);
    let word = memory.words(&irq).get::<Write>(0, 4);
    let _ = word.and_then(|word| word.store(word.load()?));
    Ok(())
}

// Racy access to memory that others may have references to.

#[cfg(slice_of_boxed_value)] // E0133: of_page
fn slice_of_boxed_value(value: &mut VBox<bool>) -> Option<RacySlice<'_>> {
    let page = value.page_iter().next()?;
    Some(RacySlice::of_page(NonNull::new(page.as_ptr())?))
}

#[cfg(own_page_of_another)] // E0423: RacyPage
fn own_page_of_another(page: Page) -> RacyPage {
    RacyPage(page)
}

#[cfg(slice_outlives_page)] // E0515: page
fn slice_outlives_page(page: UserPage<'_, Read>) -> RacySlice<'_> {
    page.bytes()
}

// Writing to a page that was pinned to be read.

#[cfg(write_to_read_page)] // E0599: bytes_mut
fn write_to_read_page(page: &UserPage<'_, Read>) {
    page.bytes_mut();
}

#[cfg(write_to_read_slice)] // E0599: store
fn write_to_read_slice(page: &UserPage<'_, Read>) {
    page.bytes().store(1);
}

#[cfg(dirty_read_page)] // E0599: mark_dirty
fn dirty_read_page(mut page: UserPage<'_, Read>) {
    page.mark_dirty();
}

#[cfg(own_access)] // E0603: private
struct Both;
#[cfg(own_access)]
impl kernel::mm::user_page::private::Sealed for Both {}

// Pinning where there is no address space, or in that of another.

#[cfg(memory_of_any_task)] // E0308: CurrentTask
fn memory_of_any_task(task: &Task) -> Option<UserMemory<'_>> {
    UserMemory::of(task)
}

#[cfg(memory_of_any_mm)] // E0451: private
fn memory_of_any_mm(mm: &MmWithUser) -> UserMemory<'_> {
    UserMemory {
        mm,
        _current: core::marker::PhantomData,
    }
}

#[cfg(memory_in_another_task)] // E0277: cannot be s
fn memory_in_another_task(memory: UserMemory<'_>, cpu: CpuId) -> Result {
    smp::call_on(cpu, |_irq| drop(memory))
}

#[cfg(memory_outlives_task)] // lifetime may not live long enough
fn memory_outlives_task(current: &CurrentTask) -> Option<UserMemory<'static>> {
    UserMemory::of(current)
}

#[cfg(page_outlives_memory)] // lifetime may not live long enough
fn page_outlives_memory(memory: UserMemory<'_>) -> Result<UserPage<'static, Read>> {
    memory.pin(0, false, None)
}

// Words, which are accessed at their address: by another task, with interrupts enabled, or stored to when that was not
// asked for.

#[cfg(words_in_another_task)] // E0277: cannot be s
fn words_in_another_task(words: UserWords<'_>, cpu: CpuId) -> Result {
    smp::call_on(cpu, |_irq| drop(words))
}

#[cfg(word_in_another_task)] // E0277: cannot be s
fn word_in_another_task(word: UserWord<'_, Read>, cpu: CpuId) -> Result {
    smp::call_on(cpu, |_irq| drop(word))
}

#[cfg(word_with_interrupts)] // E0515: irq
fn word_with_interrupts(memory: UserMemory<'static>) -> Result<UserWord<'static, Read>, Fault> {
    let irq = local_interrupt_disable();
    memory.words(&irq).get(0, 4)
}

#[cfg(store_to_read_word)] // E0599: store
fn store_to_read_word(word: &UserWord<'_, Read>) {
    let _ = word.store(1);
}

// Asking another address space than that in which the page was pinned, or while anything may change.

#[cfg(mapped_in_another_mm)] // E0061: 1 argument
fn mapped_in_another_mm(page: &UserPage<'_, Read>, mm: &MmWithUser) {
    page.is_mapped(&local_interrupt_disable(), mm);
}

#[cfg(mapped_with_interrupts)] // E0061: 1 argument
fn mapped_with_interrupts(page: &UserPage<'_, Read>) {
    page.is_mapped();
}

#[cfg(interrupts_assumed)] // E0133: assume_disabled
fn interrupts_assumed(page: &UserPage<'_, Read>) {
    page.is_mapped(kernel::interrupt::LocalInterruptDisabled::assume_disabled());
}

#[cfg(interrupts_of_another_cpu)] // E0277: cannot be s
fn interrupts_of_another_cpu(page: &UserPage<'_, Read>, cpu: CpuId) -> Result<bool> {
    let irq = local_interrupt_disable();
    smp::call_on(cpu, |_irq| page.is_mapped(&irq))
}

// A look at the runqueue of a CPU that is not possible.

#[cfg(any_cpu)] // E0133: runs_idle_task
fn any_cpu(cpu: CpuId) -> bool {
    smp::runs_idle_task(cpu)
}

// Any code at all under a runqueue lock.

#[cfg(anything_while_idle)] // E0133: call_while_idle
fn anything_while_idle(cpu: CpuId) {
    smp::call_while_idle(cpu, |_irq| ());
}
