import { Controller, Get, ServiceUnavailableException } from '@nestjs/common'
import { InjectDispatcher, type DispatcherService } from 'waybill/nestjs'

@Controller('health')
export class HealthController {
  constructor(@InjectDispatcher() private readonly dispatcher: DispatcherService | undefined) {}

  @Get()
  check(): { lanes: number } {
    if (this.dispatcher?.healthy === false) throw new ServiceUnavailableException('the dispatcher has no heartbeat')
    return { lanes: this.dispatcher?.lanes().length ?? 0 }
  }
}
