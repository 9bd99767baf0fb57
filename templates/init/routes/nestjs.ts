import { Body, Controller, Inject, Post } from '@nestjs/common'
import { $Class } from '$module'
import { createOrder, type NewOrder } from './create-order.js'

/** POST /orders. List it in the controllers of a module that provides $token. */
@Controller('orders')
export class OrdersController {
  constructor(@Inject($token) private readonly $client: $Type) {}

  @Post()
  async create(@Body() order: NewOrder): Promise<{ messageId: string }> {
    return { messageId: await createOrder(this.$client, order) }
  }
}
