/** Which targets a role speaks of, and what it lets people read of their recordings. */
import { z } from 'zod'
import * as is from './scalars.ts'

export const targetSelector = z
  .union([z.array(is.glob).min(1), z.record(is.name, is.name)], {
    error: 'expected a list of target names, or a map of labels that a target must have',
  })
  .describe('Names, with * as wildcard, or labels that must all be there')

export const reading = z
  .strictObject({
    targets: targetSelector,
    see: z
      .enum(['metadata', 'content', 'replay'])
      .default('metadata')
      .describe(
        'metadata: who, where, when, with what outcome. content: statements, commands, paths too. replay: terminals too',
      ),
    verify: z.boolean().default(true).describe('Check the book and take its checkpoints'),
    admin: z
      .boolean()
      .default(false)
      .describe("Everything, the gateway's own records too; and end the sessions of others"),
  })
  .describe('Which recordings may be read. Without such a role people see their own sessions only')
