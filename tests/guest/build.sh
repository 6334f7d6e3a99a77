#!/bin/sh
# Builds one form of the test guest: build.sh SOURCE_DIR CC FORM OUTPUT; FORM is pvh, disk or iso.
set -eu
src=$1 cc=$2 form=$3 out=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-m32 -march=i686 -Os -ffreestanding -fno-pic -no-pie -fno-stack-protector -fcf-protection=none
       -fno-asynchronous-unwind-tables -fno-builtin -mno-sse -mno-mmx -Wall -Wextra -nostdlib -static
       -Wl,--build-id=none,-z,noexecstack,--no-warn-rwx-segments"
case $form in
pvh)
    $cc $flags -T "$src/pvh.ld" -o "$out" "$src/pvh.S" "$src/entry.S" "$src/guest.c" "$src/tpm.c"
    ;;
disk|iso)
    $cc $flags -T "$src/boot.ld" -o "$work/boot.elf" "$src/boot.S" "$src/entry.S" "$src/guest.c" "$src/tpm.c"
    mkdir "$work/cd"
    objcopy -O binary -j .all "$work/boot.elf" "$work/cd/boot.bin"
    if [ "$form" = disk ]; then
        cp "$work/cd/boot.bin" "$out"
        truncate -s 1M "$out"
    else
        xorriso -as mkisofs -quiet -V RUNNYMEDE -b boot.bin -no-emul-boot -boot-load-size 32 -o "$out" "$work/cd" \
            2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    fi
    ;;
esac
