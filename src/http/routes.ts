/** The whole API as one table; the OpenAPI document is made from it. */
import { accessRoutes } from './access-routes.ts'
import { bookRoutes } from './book-routes.ts'
import type { Calling } from './calling.ts'
import { readingRoutes } from './reading-routes.ts'
import type { Route } from './route.ts'

export function routesOf(calling: Calling): readonly Route[] {
  return [...bookRoutes(calling), ...readingRoutes(calling), ...accessRoutes(calling)]
}
