CROSS := riscv64-unknown-elf-
CPU := -march=rv32imafc -mabi=ilp32f -mcmodel=medany
QEMU := qemu-system-riscv32 -machine virt -bios none
START := start_riscv.c
MHZ := 1000
