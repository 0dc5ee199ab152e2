/**
 * Poly1305 (RFC 8439, section 2.5), which node:crypto has only inside ChaCha20-Poly1305 of TLS, and SSH's variant
 * is another one.
 *
 * Numbers modulo 2^130 - 5 are six limbs of 22 bits in doubles: a product has 44 bits, and a sum of six, some
 * of them times 20, stays below 2^53, where doubles are exact. No step depends on a secret but by its operands.
 */

const LIMB = 2 ** 22
const PER_LIMB = 2 ** -22
const MASK = LIMB - 1
const BLOCK = 16

export const POLY1305_TAG_LENGTH = 16

/** The tag of `message` under a key of 32 bytes that is used for this message only. */
export function poly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength)
  const clamped = new DataView(new ArrayBuffer(BLOCK))
  clamped.setUint32(0, view.getUint32(0, true) & 0x0fffffff, true)
  for (const at of [4, 8, 12]) clamped.setUint32(at, view.getUint32(at, true) & 0x0ffffffc, true)

  const sum = new Float64Array(6)
  const whole = message.length - (message.length % BLOCK)
  absorb(sum, clamped, new DataView(message.buffer, message.byteOffset, whole), 1)
  if (whole < message.length) {
    const last = new Uint8Array(BLOCK)
    last.set(message.subarray(whole))
    last[message.length - whole] = 1
    absorb(sum, clamped, new DataView(last.buffer), 0)
  }
  return finish(sum, new DataView(key.buffer, key.byteOffset + BLOCK, BLOCK))
}

/** The six limbs of a block of 16 bytes, `top` being its 129th bit. */
function limbs(block: DataView, top: number): [number, number, number, number, number, number] {
  const w0 = block.getUint32(0, true)
  const w1 = block.getUint32(4, true)
  const w2 = block.getUint32(8, true)
  const w3 = block.getUint32(12, true)
  return [
    w0 & MASK,
    ((w0 >>> 22) | (w1 << 10)) & MASK,
    ((w1 >>> 12) | (w2 << 20)) & MASK,
    (w2 >>> 2) & MASK,
    ((w2 >>> 24) | (w3 << 8)) & MASK,
    (w3 >>> 14) | (top << 18),
  ]
}

/** sum = (sum + block) * r for each block. One long function, because the limbs must stay in registers. */
function absorb(sum: Float64Array, r: DataView, blocks: DataView, top: number): void {
  const [r0, r1, r2, r3, r4, r5] = limbs(r, 0)
  // A limb above the sixth comes round times 2^132 = 4 * 2^130, which is 20.
  const s1 = r1 * 20
  const s2 = r2 * 20
  const s3 = r3 * 20
  const s4 = r4 * 20
  const s5 = r5 * 20
  let [h0 = 0, h1 = 0, h2 = 0, h3 = 0, h4 = 0, h5 = 0] = sum
  for (let at = 0; at < blocks.byteLength; at += BLOCK) {
    const w0 = blocks.getUint32(at, true)
    const w1 = blocks.getUint32(at + 4, true)
    const w2 = blocks.getUint32(at + 8, true)
    const w3 = blocks.getUint32(at + 12, true)
    h0 += w0 & MASK
    h1 += ((w0 >>> 22) | (w1 << 10)) & MASK
    h2 += ((w1 >>> 12) | (w2 << 20)) & MASK
    h3 += (w2 >>> 2) & MASK
    h4 += ((w2 >>> 24) | (w3 << 8)) & MASK
    h5 += (w3 >>> 14) | (top << 18)

    let d0 = h0 * r0 + h1 * s5 + h2 * s4 + h3 * s3 + h4 * s2 + h5 * s1
    let d1 = h0 * r1 + h1 * r0 + h2 * s5 + h3 * s4 + h4 * s3 + h5 * s2
    let d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s5 + h4 * s4 + h5 * s3
    let d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s5 + h5 * s4
    let d4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0 + h5 * s5
    let d5 = h0 * r5 + h1 * r4 + h2 * r3 + h3 * r2 + h4 * r1 + h5 * r0

    let carry = Math.floor(d0 * PER_LIMB)
    d0 -= carry * LIMB
    d1 += carry
    carry = Math.floor(d1 * PER_LIMB)
    h1 = d1 - carry * LIMB
    d2 += carry
    carry = Math.floor(d2 * PER_LIMB)
    h2 = d2 - carry * LIMB
    d3 += carry
    carry = Math.floor(d3 * PER_LIMB)
    h3 = d3 - carry * LIMB
    d4 += carry
    carry = Math.floor(d4 * PER_LIMB)
    h4 = d4 - carry * LIMB
    d5 += carry
    carry = Math.floor(d5 * PER_LIMB)
    h5 = d5 - carry * LIMB
    d0 += carry * 20
    carry = Math.floor(d0 * PER_LIMB)
    h0 = d0 - carry * LIMB
    h1 += carry
  }
  sum.set([h0, h1, h2, h3, h4, h5])
}

/** Reduces fully, adds the key's second half modulo 2^128. */
function finish(sum: Float64Array, pad: DataView): Uint8Array {
  const h = Array.from(sum)
  carryAll(h)
  carryAll(h)
  // h + 5 reaches 2^130 exactly when h is not yet below the modulus.
  const g = Array.from(h)
  g[0] = (g[0] ?? 0) + 5
  const over = carryAll(g, 0)
  const [l0 = 0, l1 = 0, l2 = 0, l3 = 0, l4 = 0, l5 = 0] = h.map(
    (limb, i) => limb * (1 - over) + (g[i] ?? 0) * over,
  )

  const words = [
    l0 | (l1 << 22),
    (l1 >>> 10) | (l2 << 12),
    (l2 >>> 20) | (l3 << 2) | (l4 << 24),
    (l4 >>> 8) | (l5 << 14),
  ]
  const tag = new DataView(new ArrayBuffer(POLY1305_TAG_LENGTH))
  let carry = 0
  words.forEach((word, i) => {
    const total = (word >>> 0) + pad.getUint32(i * 4, true) + carry
    tag.setUint32(i * 4, total >>> 0, true)
    carry = total > 0xffffffff ? 1 : 0
  })
  return new Uint8Array(tag.buffer)
}

/** Brings each limb into its bits; what passes bit 130 is returned, and comes round times `round`. */
function carryAll(h: number[], round = 5): number {
  let carry = 0
  for (let i = 0; i < 5; i++) {
    const value = (h[i] ?? 0) + carry
    carry = Math.floor(value * PER_LIMB)
    h[i] = value - carry * LIMB
  }
  const value = (h[5] ?? 0) + carry
  const over = Math.floor(value / 2 ** 20)
  h[5] = value - over * 2 ** 20
  h[0] = (h[0] ?? 0) + over * round
  return over
}
