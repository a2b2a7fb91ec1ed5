# Away with what present.pp made, but for what the vhosts hold: absent_vhosts.pp.
rabbitmq_plugin { 'rabbitmq_sharding': ensure => absent }
-> rabbitmq_policy { ['ha-all@shop', 'expiring@/', 'alternate@team/one']: ensure => absent }
-> rabbitmq_user_permissions { ['app@shop', 'ops@/', 'ops@team/one']: ensure => absent }
