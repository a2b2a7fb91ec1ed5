# The same things with other values, after present.pp.
rabbitmq_user { 'app': password => 'other', tags => ['policymaker'] }
-> rabbitmq_user { 'ops': admin => false, password => 'x y', tags => ['monitoring'] }
-> rabbitmq_user_permissions { 'app@shop':
  configure_permission => '.*', read_permission => '^r', write_permission => '^$' }
-> rabbitmq_policy { 'ha-all@shop':
  pattern => '^h\.', priority => 6, applyto => 'queues', definition => { 'ha-mode' => 'all' } }
-> rabbitmq_parameter { 'limits@shop':
  component_name => 'vhost-limits', value => { 'max-queues' => '7' } }
