/**
 * A whole guest in one boot sector: it sends back every byte that comes on its serial console. For tests of consoles
 * and of what happens to a guest that runs: it starts in a second and needs neither kernel nor network.
 */

/** From 0x7c00, 16 bit. */
const code = [
  [0xba, 0xfd, 0x03], // mov dx,0x3fd: the line status of the first serial port
  [0xec, 0xa8, 0x01, 0x74, 0xfb], // in al,dx; test al,1; jz to the in: until a byte has come
  [0xba, 0xf8, 0x03, 0xec, 0xee], // mov dx,0x3f8; in al,dx; out dx,al
  [0xeb, 0xf1], // jmp to the first line
].flat();

export const echoingGuest: Buffer = Buffer.alloc(512);
echoingGuest.set(code, 0);
echoingGuest.set([0x55, 0xaa], 0x1fe);
