import { Body, Controller, Get, HttpCode, Param, ParseUUIDPipe, Post } from '@nestjs/common'
import { OrdersService } from './orders.service.js'

@Controller('orders')
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Post()
  place(@Body() body: unknown): Promise<{ id: string }> {
    return this.orders.place(body)
  }

  @Post(':id/cancel')
  @HttpCode(204)
  cancel(@Param('id', ParseUUIDPipe) id: string): Promise<void> {
    return this.orders.cancel(id)
  }

  @Get(':id')
  show(@Param('id', ParseUUIDPipe) id: string): Promise<{ status: string; mails: string[] }> {
    return this.orders.show(id)
  }
}
