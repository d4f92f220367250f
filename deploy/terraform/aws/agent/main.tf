# The agent: one small host that replaces itself. Nothing connects to it: its security group has no rule for that, and it
# has no key for SSH and no public address. All that it has may be lost: the next host gets a certificate of the same name by
# the token, and reads from the share and the vault where it was.

locals {
  region    = split(":", var.token_parameter_arn)[3]
  parameter = split(":parameter", var.token_parameter_arn)[1]
  units     = "${path.module}/../../../../dist/systemd"

  config = <<-END
    [agent]
    share = "/mnt/share"
    state = "/var/lib/outlast-agent/state"
    upstream = "${var.upstream}"
    identity = "/var/lib/outlast-agent/identity"
  END

  # Mounts what makes the workloads' directories, once each, and makes the share if there is none.
  prepare = templatefile("${path.module}/prepare.sh.tftpl", {
    file_system = var.share.file_system_id
    directories = { for name, workload in var.share.workloads : name => workload.directory_id }
    region      = local.region
    parameter   = local.parameter
    uid         = var.share.agent_uid
  })

  user_data = join("\n", ["#cloud-config", yamlencode({
    write_files = [
      { path = "/etc/outlast/agent.toml", permissions = "0644", content = local.config },
      { path = "/usr/local/lib/outlast/prepare-agent", permissions = "0755", content = local.prepare },
      { path = "/etc/systemd/system/outlast-agent.service", content = file("${local.units}/outlast-agent.service") },
    ]
    mounts = [[
      "${var.share.file_system_id}:/", "/mnt/share", "efs",
      "_netdev,nofail,tls,iam,accesspoint=${var.share.agent_access_point.id},noresvport,lookupcache=positive", "0", "0",
    ]]
    # What fails is tried again: the host may be up before its role.
    runcmd = [
      ["sh", "-c", "for i in 1 2 3 4 5 6; do /usr/local/lib/outlast/prepare-agent && break; sleep 20; done"],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "outlast-agent.service"],
    ]
  })])
}

resource "aws_security_group" "agent" {
  name        = "outlast-agent-${var.name}"
  description = "The agent: nothing connects to it"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "upstream" {
  security_group_id = aws_security_group.agent.id
  description       = "Media servers or the vault"
  ip_protocol       = "tcp"
  from_port         = var.upstream_port
  to_port           = var.upstream_port
  cidr_ipv4         = var.upstream_cidr
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.agent.id
  description       = "The services of AWS: the token, and who the share is"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
  tags              = var.tags
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "agent" {
  statement {
    sid       = "TheToken"
    actions   = ["ssm:GetParameter"]
    resources = [var.token_parameter_arn]
  }
  dynamic "statement" {
    for_each = var.token_kms_key_arn == null ? [] : [var.token_kms_key_arn]
    content {
      sid       = "TheTokensKey"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
  statement {
    sid       = "TheShare"
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [var.share.file_system_arn]
    condition {
      test     = "StringEquals"
      variable = "elasticfilesystem:AccessPointArn"
      values = concat(
        [var.share.agent_access_point.arn],
        [for workload in values(var.share.workloads) : workload.directory_arn],
      )
    }
  }
}

resource "aws_iam_role" "agent" {
  name               = "outlast-agent-${var.name}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "agent" {
  name   = "agent"
  role   = aws_iam_role.agent.id
  policy = data.aws_iam_policy_document.agent.json
}

resource "aws_iam_instance_profile" "agent" {
  name = "outlast-agent-${var.name}"
  role = aws_iam_role.agent.name
  tags = var.tags
}

resource "aws_launch_template" "agent" {
  name_prefix   = "outlast-agent-${var.name}-"
  image_id      = var.ami_id
  instance_type = var.instance_type
  user_data     = base64encode(local.user_data)

  iam_instance_profile {
    arn = aws_iam_instance_profile.agent.arn
  }
  network_interfaces {
    associate_public_ip_address = false
    security_groups             = [aws_security_group.agent.id, var.share.client_security_group_id]
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = var.disk_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = "outlast-agent-${var.name}" })
  }
  tags = var.tags
}

# A group of one: a host that dies is replaced, and never are there two. The next one revokes the certificate of the last.
resource "aws_autoscaling_group" "agent" {
  name                = "outlast-agent-${var.name}"
  min_size            = 0
  max_size            = 1
  desired_capacity    = 1
  vpc_zone_identifier = var.subnet_ids
  health_check_type   = "EC2"

  launch_template {
    id      = aws_launch_template.agent.id
    version = aws_launch_template.agent.latest_version
  }
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 0
    }
  }
  tag {
    key                 = "Name"
    value               = "outlast-agent-${var.name}"
    propagate_at_launch = true
  }
}
