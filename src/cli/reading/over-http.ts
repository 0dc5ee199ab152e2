/** The questions of a Library as requests to the console of a gateway elsewhere. */
import { strict as assert } from 'node:assert'
import { parseCheckpoint } from '../../book/checkpoint.ts'
import { parseLeaf } from '../../book/format.ts'
import { parseProof } from '../../book/proof.ts'
import { leafHash } from '../../book/tree.ts'
import type { EvidenceAnswer, ProofAnswer } from '../../read/answers.ts'
import { Library } from '../../read/library.ts'
import {
  type AnswerTo,
  type EvidenceQuestion,
  type FramesQuestion,
  NoAnswer,
  type ProofQuestion,
  type Question,
} from '../../read/questions.ts'
import { OperatorError, wordsOf } from '../../system/operator-error.ts'
import type { Query, RemoteGateway } from '../remote.ts'
import { Following } from './following.ts'

/** Between two looks for what is new: each is a request, and one person may make so many. */
const LOOK_EVERY_MS = 400

/** Answered under the rights of whoever the token belongs to. */
export function libraryOver(gateway: RemoteGateway): Library {
  let following: Following | undefined
  const ask = async <Q extends Question>(question: Q): Promise<AnswerTo<Q>> => {
    if (question.type !== 'follow') return (await answerTo(question, gateway)) as AnswerTo<Q>
    if (question.cursor === undefined) following = await Following.open(gateway, question)
    assert(following !== undefined, 'a following goes on that has not begun')
    return (await following.next()) as AnswerTo<Q>
  }
  return new Library({
    ask,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(ms, LOOK_EVERY_MS))),
  })
}

async function answerTo(question: Question, gateway: RemoteGateway): Promise<unknown> {
  switch (question.type) {
    case 'search':
    case 'sessions': {
      const { type, query, cursor, limit } = question
      return gateway.get(`/${type}`, { q: query, cursor, limit })
    }
    case 'session':
      return gateway.get(sessionPath(question))
    case 'timeline':
      return gateway.get(`${sessionPath(question)}/timeline`, pageOf(question))
    case 'commands':
      return gateway.get(`${sessionPath(question)}/commands`, { op: question.op })
    case 'files':
      return gateway.get(`${sessionPath(question)}/files`)
    case 'frames':
      return gateway.get(framesPath(question), { cursor: question.cursor, purpose: question.purpose })
    case 'overview':
      return gateway.get('/overview', { micros: question.micros })
    case 'record':
      return gateway.get(`/records/${encodeURIComponent(question.record)}`)
    case 'proof':
      return proofOf(question, gateway)
    case 'evidence':
      return evidenceOf(question, gateway)
    case 'summary':
    case 'complete':
    case 'state':
    case 'follow':
      return assert.fail(`no command asks for ${question.type} by a request`)
  }
}

function pageOf({ cursor, limit }: { readonly cursor?: number; readonly limit?: number }): Query {
  return { cursor, limit }
}

/** An id that is none is told as the gateway tells it; it has no place in a path. */
function sessionPath({ session }: { readonly session: string }): string {
  if (/^[a-z2-7]{16}$/.test(session)) return `/sessions/${session}`
  throw new NoAnswer('none', `there is no session ${session} that you may see`)
}

function framesPath(question: FramesQuestion): string {
  return `${sessionPath(question)}/recordings/${question.op}/${question.stream}/frames`
}

async function proofOf({ record, payloads }: ProofQuestion, gateway: RemoteGateway): Promise<ProofAnswer> {
  const path = `/records/${encodeURIComponent(record)}/proof`
  const proof = JSON.stringify(await gateway.get(path, { payloads: payloads === true ? 'yes' : 'no' }))
  return understood(gateway, () => {
    const leaf = Buffer.from(parseProof(proof).leaf)
    return { seq: parseLeaf(leaf).seq, hash: Buffer.from(leafHash(leaf)).toString('hex'), proof }
  })
}

/** In one answer, not in pages: all of it, or none where it breaks off. */
async function evidenceOf(question: EvidenceQuestion, gateway: RemoteGateway): Promise<EvidenceAnswer> {
  const lines: string[] = []
  for await (const line of gateway.lines(`${sessionPath(question)}/evidence`)) lines.push(line)
  return understood(gateway, () => {
    const { checkpoint } = JSON.parse(lines[0] ?? '{}') as { checkpoint?: unknown }
    return { lines, size: parseCheckpoint(String(checkpoint)).size }
  })
}

function understood<T>({ origin }: RemoteGateway, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new OperatorError('target', `${origin} sent what is no evidence: ${wordsOf(cause)}`, { cause })
  }
}
