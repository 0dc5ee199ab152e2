import { describe, expect, test } from 'vitest'
import { ProtocolError } from '../../../protocols/bytes.ts'
import { decodeBackend } from '../../../protocols/postgres/backend.ts'
import { Cutter, HEADER_BYTES, readMessage } from '../../../protocols/postgres/frames.ts'
import { decodeFrontend } from '../../../protocols/postgres/frontend.ts'
import { readStartupPacket } from '../../../protocols/postgres/startup.ts'
import { cutAt, playConversation } from '../../support/play.ts'
import { plain, readVectors, type Vector } from '../../support/vectors.ts'

/** Decodes a vector that arrives in these chunks; what was read is said in full, and nothing may be left over. */
function decode({ header }: Vector, chunks: readonly Uint8Array[]): unknown {
  const side = header.get('side')
  if (side === 'startup') {
    const { end } = playConversation(readStartupPacket(), chunks)
    if ('thrown' in end) throw end.thrown
    return end.result
  }
  if (side === 'server') {
    const { end, left } = playConversation(readMessage(1 << 20), chunks)
    if ('thrown' in end) throw end.thrown
    expect(left).toHaveLength(0)
    return decodeBackend(end.result.tag, end.result.body)
  }
  const cutter = new Cutter(() => 'whole')
  let found: unknown
  for (const chunk of chunks) {
    cutter.feed(chunk.slice())
    for (let cut = cutter.next(); cut !== 'none'; cut = cutter.next()) {
      expect(found, 'one message in the vector').toBeUndefined()
      found = decodeFrontend(cutter.tag, cutter.bytes.subarray(cutter.start + HEADER_BYTES, cutter.end))
    }
  }
  return found
}

function outcome(vector: Vector, chunks: readonly Uint8Array[]): string {
  try {
    return JSON.stringify(plain(decode(vector, chunks)))
  } catch (problem) {
    if (!(problem instanceof ProtocolError)) throw problem
    return `refused: ${problem.message}`
  }
}

describe('every message is decoded in full, or refused', () => {
  test.each(readVectors('postgres').map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    const { header, bytes } = vector
    expect(outcome(vector, [bytes])).toBe(header.get('expect'))
    for (let at = 1; at < bytes.length; at++) {
      expect(outcome(vector, cutAt(at)(bytes)), `cut at ${at}`).toBe(header.get('expect'))
    }
  })
})
