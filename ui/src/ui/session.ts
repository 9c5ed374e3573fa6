/** Who is signed in, and what that person may do. */

import { useQuery } from '@tanstack/react-query'

import { sessionQuery } from '../api/queries'
import type { Permission } from '../domain/permission'

export function useCan(permission: Permission): boolean {
  const { data } = useQuery(sessionQuery)
  return data?.permissions.includes(permission) ?? false
}
