export { extendPartitions, extendTimePartitions, type ExtendOptions, type ExtendReport } from './extend.js'
export { listPartitions, listRanges, attemptsTable, receiptsTable } from './range-table.js'
export { type PartitionInfo, type RangeTable } from './range-table.js'
