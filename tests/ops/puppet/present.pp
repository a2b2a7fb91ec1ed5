# What a profile for RabbitMQ declares, by every provider that calls rabbitmqctl or rabbitmq-plugins.
rabbitmq_vhost { ['shop', 'team/one']: ensure => present }
-> rabbitmq_user { 'app': password => 's3cret' }
-> rabbitmq_user { 'ops': admin => true, password => 'x y', tags => ['monitoring', 'own'] }
-> rabbitmq_user_permissions { 'app@shop':
  configure_permission => '^app\..*', read_permission => '.*', write_permission => '.*' }
-> rabbitmq_user_permissions { 'ops@/':
  configure_permission => '.*', read_permission => '.*', write_permission => '.*' }
-> rabbitmq_user_permissions { 'ops@team/one':
  configure_permission => '^$', read_permission => '.*', write_permission => '^(a|b)$' }
-> rabbitmq_policy { 'ha-all@shop':
  pattern => '^ha\.', priority => 5, applyto => 'all',
  definition => { 'ha-mode' => 'all', 'ha-sync-mode' => 'automatic' } }
-> rabbitmq_policy { 'expiring@/':
  pattern => '.*', priority => 0, applyto => 'queues',
  definition => { 'message-ttl' => '60000', 'dead-letter-exchange' => 'dlx' } }
-> rabbitmq_policy { 'alternate@team/one':
  pattern => '^amq\.', applyto => 'exchanges', definition => { 'alternate-exchange' => 'lost' } }
-> rabbitmq_parameter { 'limits@shop':
  component_name => 'vhost-limits', value => { 'max-queues' => '256', 'max-connections' => '64' } }
-> rabbitmq_plugin { 'rabbitmq_sharding': ensure => present }
