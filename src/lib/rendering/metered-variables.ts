import type { Budget } from '../template/budget.js'
import { type JsonObject, sizeWithin } from './json-values.js'

const limits = { values: 200_000, characters: Number.POSITIVE_INFINITY, depth: 100 }
const valuesOfStep = 2

/**
 * The same variables, for several templates: each turns the lists and objects that it uses into values of its own, which takes
 * time that grows with them. The first does so freely, every other one at the cost of the budget.
 */
export function meteredVariables(variables: JsonObject, budget: Budget): JsonObject {
  const metered: JsonObject = {}
  for (const [name, value] of Object.entries(variables)) {
    const isLarge = typeof value === 'object' && value !== null
    Object.defineProperty(metered, name, isLarge ? metering(value, budget) : { value, enumerable: true })
  }
  return metered
}

function metering(value: object, budget: Budget): PropertyDescriptor {
  let steps: number | null = null
  const get = () => {
    if (steps !== null) budget.step(steps)
    steps ??= Math.ceil((sizeWithin(value, limits)?.values ?? limits.values) / valuesOfStep)
    return value
  }
  return { get, enumerable: true }
}
