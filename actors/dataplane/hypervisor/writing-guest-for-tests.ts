/**
 * A whole guest in one boot sector: it writes 32 KiB after the other to its first disk, from the second MiB on, and
 * never ends. For tests of full disks: it starts in a second and needs neither kernel nor network.
 */

/** From 0x7c00, 16 bit: BIOS service 0x13/0x43 (write) with the packet at 0x7c20, then 64 sectors further. */
const code = [
  [0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c], // xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7c00
  [0xbe, 0x20, 0x7c, 0xb8, 0x00, 0x43, 0xb2, 0x80, 0xcd, 0x13], // mov si,0x7c20; mov ax,0x4300; mov dl,0x80; int 0x13
  [0x66, 0x83, 0x06, 0x28, 0x7c, 0x40, 0xeb, 0xee], // add dword [0x7c28],64; jmp to the second line
].flat();
/** 16 bytes long, 64 sectors, from 0000:7c00 (this sector and what follows it), to sector 2048 at first. */
const packet = [0x10, 0, 64, 0, 0x00, 0x7c, 0, 0, 0x00, 0x08, 0, 0, 0, 0, 0, 0];

export const writingGuest: Buffer = Buffer.alloc(512);
writingGuest.set(code, 0);
writingGuest.set(packet, 0x20);
writingGuest.set([0x55, 0xaa], 0x1fe);
