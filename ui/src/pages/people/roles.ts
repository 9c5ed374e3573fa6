/** The roles, from the least to the most. */

import type { Role } from '../../api/types'

export const ROLES: readonly Role[] = ['viewer', 'operator', 'admin']
