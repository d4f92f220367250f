# The share: one file system, and for each workload an access point that says who it is.
#
# An access point forces a user on whoever mounts by it, and IAM says which role may mount by which (module workload). On
# the share, the directory of a workload belongs to its user and the agent's group, and is closed to all others. So what lies
# in w/shop-db was written by instances with the role of shop-db, and nobody can forge that.

resource "aws_efs_file_system" "share" {
  encrypted                       = true
  kms_key_id                      = var.kms_key_arn
  availability_zone_name          = var.one_zone
  throughput_mode                 = var.throughput_mode
  provisioned_throughput_in_mibps = var.throughput_mode == "provisioned" ? var.provisioned_mibps : null
  tags                            = merge(var.tags, { Name = var.name })

  # There is no lifecycle policy on purpose: drops leave within days, reading them from infrequent access costs by the
  # byte, and every small file there is billed as 128 KiB.
}

# Drops are copies already, and leave when the vault has them: copies of copies would cost more than the share.
resource "aws_efs_backup_policy" "share" {
  file_system_id = aws_efs_file_system.share.id
  backup_policy {
    status = "DISABLED"
  }
}

# Who has this group may reach the share: instances and the agent.
resource "aws_security_group" "client" {
  name        = "${var.name}-share-client"
  description = "May reach the share"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "client" {
  security_group_id            = aws_security_group.client.id
  description                  = "NFS to the share"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  referenced_security_group_id = aws_security_group.share.id
  tags                         = var.tags
}

resource "aws_security_group" "share" {
  name        = "${var.name}-share"
  description = "The share"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "share" {
  security_group_id            = aws_security_group.share.id
  description                  = "NFS from instances and the agent"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  referenced_security_group_id = aws_security_group.client.id
  tags                         = var.tags
}

resource "aws_efs_mount_target" "share" {
  for_each        = var.subnet_ids
  file_system_id  = aws_efs_file_system.share.id
  subnet_id       = each.value
  security_groups = [aws_security_group.share.id]
}

# Only encrypted, and only by an access point: without one, a client would be whom it says it is.
data "aws_iam_policy_document" "share" {
  statement {
    sid       = "OnlyEncrypted"
    effect    = "Deny"
    actions   = ["*"]
    resources = [aws_efs_file_system.share.arn]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
  statement {
    sid    = "OnlyByAnAccessPoint"
    effect = "Deny"
    actions = [
      "elasticfilesystem:ClientMount",
      "elasticfilesystem:ClientWrite",
      "elasticfilesystem:ClientRootAccess",
    ]
    resources = [aws_efs_file_system.share.arn]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "Null"
      variable = "elasticfilesystem:AccessPointArn"
      values   = ["true"]
    }
  }
}

resource "aws_efs_file_system_policy" "share" {
  file_system_id = aws_efs_file_system.share.id
  policy         = data.aws_iam_policy_document.share.json
}

resource "aws_efs_access_point" "agent" {
  file_system_id = aws_efs_file_system.share.id
  posix_user {
    uid = var.agent_uid
    gid = var.agent_uid
  }
  root_directory {
    path = "/outlast"
    creation_info {
      owner_uid   = var.agent_uid
      owner_gid   = var.agent_uid
      permissions = "0755"
    }
  }
  tags = merge(var.tags, { Name = "${var.name}-agent" })
}

resource "aws_efs_access_point" "workload" {
  for_each       = var.workloads
  file_system_id = aws_efs_file_system.share.id
  posix_user {
    uid = each.value.uid
    gid = each.value.uid
  }
  root_directory {
    path = "/outlast"
    creation_info {
      owner_uid   = var.agent_uid
      owner_gid   = var.agent_uid
      permissions = "0755"
    }
  }
  tags = merge(var.tags, { Name = "${var.name}-${each.key}", workload = each.key })
}

# Makes the directory of a workload with the right owner: EFS does that when somebody mounts by it first, which the agent
# does when it boots. Nobody is root on the share for it.
resource "aws_efs_access_point" "directory" {
  for_each       = var.workloads
  file_system_id = aws_efs_file_system.share.id
  posix_user {
    uid = var.agent_uid
    gid = var.agent_uid
  }
  root_directory {
    path = "/outlast/w/${each.key}"
    creation_info {
      owner_uid   = each.value.uid
      owner_gid   = var.agent_uid
      permissions = "2770"
    }
  }
  tags = merge(var.tags, { Name = "${var.name}-${each.key}-directory" })
}
